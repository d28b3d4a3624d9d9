"""The nearest-neighbor accuracy while a run goes on, and the images that it is measured on."""

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from amask_solo.augment.views import Views
from amask_solo.callbacks.online_knn import spread
from amask_solo.data import ArrayImages, ResidentLoader, make_shapes
from amask_solo.hosts.installed import load_host
from amask_solo.runs.datamodule import ViewsData
from tests.callbacks.watched import knn, masked
from tests.players import fit


def numbered(labels):
    return ArrayImages(torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2), labels)


@pytest.mark.host
def test_the_images_are_chosen_once_for_all_epochs():
    asked = []
    trainer, _ = fit(masked(), epochs=3, callbacks=[knn(lambda images: asked.append(images) or DataLoader(images))])
    assert trainer.callback_metrics["val_knn_acc1"] == 100
    assert [len(images) for images in asked] == [16, 16]


@pytest.mark.host
def test_layers_that_are_held_in_evaluation_mode_stay_in_it():
    class Modes(Callback):
        def on_train_start(self, trainer, model) -> None:
            backbone(model).layer1.eval()

        def on_train_epoch_end(self, trainer, model) -> None:
            seen.append({name: module.training for name, module in backbone(model).named_modules()})

    def backbone(model):
        return getattr(model, load_host().backbone)

    seen = []
    fit(masked(), epochs=1, callbacks=[knn(), Modes()])
    held = {name for name, training in seen[0].items() if not training}
    assert held == {name for name in seen[0] if name.split(".")[0] == "layer1"}


@pytest.mark.parametrize("labels", [torch.arange(20_000) % 8, (torch.arange(20_000) % 8).sort().values])
def test_a_subset_has_the_classes_of_all_images_in_any_order(labels):
    subset = spread(numbered(labels))
    assert subset.labels.bincount().tolist() == [1250] * 8
    assert torch.equal(spread(numbered(labels)).stack(), subset.stack())


def test_a_subset_has_the_shares_of_the_classes():
    assert spread(numbered(torch.tensor([0] * 180 + [1] * 20)), at_most=10).labels.bincount().tolist() == [9, 1]
    assert len(spread(numbered(torch.zeros(5).long()), at_most=10)) == 5


def test_images_without_labels_take_no_place_in_a_subset():
    labels = torch.arange(100) % 10 - 9  # every tenth image has a label
    assert spread(numbered(labels), at_most=5).labels.tolist() == [0] * 5
    assert len(spread(numbered(labels), at_most=50)) == 10


def test_the_images_stay_in_memory_or_are_read_by_the_workers_of_the_run():
    images = make_shapes(num_train=8, num_val=8, image_size=16)
    views = Views([{"crop_size": 16, "num_crops": 2}], mean=images.mean, std=images.std)
    kept = ViewsData(images, views, batch_size=4).still_batches(images.val)
    read = ViewsData(images, views, batch_size=4, num_workers=2, device_cache="off").still_batches(images.val)
    assert isinstance(kept, ResidentLoader)
    assert read.num_workers == 2
    for loader in (kept, read):
        assert [index.tolist() for index, _, _ in loader] == [list(range(8))]
