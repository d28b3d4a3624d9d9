"""The batches of a run."""

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import LambdaCallback
from torch import nn

from amask_solo.augment.views import Views
from amask_solo.data import make_shapes
from amask_solo.errors import UserError
from amask_solo.runs.datamodule import ResumeWithinEpoch, ViewsData, which_views
from tests.tiny import tiny_trainer


@pytest.mark.parametrize("name", ["mean", "std"])
def test_training_prepares_images_by_the_same_numbers_as_evaluation_and_export(name):
    images = make_shapes(num_train=8, num_val=8, image_size=16)
    of_data = {"mean": images.mean, "std": images.std}

    def served(own):
        return ViewsData(images, Views([{"crop_size": 16, "num_crops": 2, name: list(own)}], **of_data), batch_size=4)

    assert served(of_data[name]).views.recipes[0].crop_size == 16
    with pytest.raises(UserError, match=rf"have a {name} of their own.*data.{name}=\[0.5,0.5,0.25\]"):
        served((0.5, 0.5, 0.25))


def test_views_are_told_by_their_first_images():
    views = list(torch.rand(3, 6, 1, 4, 4))
    assert which_views(views[1], views) == [1]
    assert which_views(torch.cat([views[2], views[0]]), views) == [2, 0]
    # A further move of the masker sees a part of each view.
    assert which_views(views[1][:2], views) == [1]
    assert which_views(torch.cat([views[0][:3], views[2][:3]]), views) == [0, 2]
    assert which_views(views[1][2:], views) == []
    assert which_views(torch.rand(6, 1, 4, 4), views) == []
    assert which_views(views[0], []) == []


class Drawing(LightningModule):
    """Draws from the global random state as methods do: before training, before each epoch and in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.drawn: list[float] = []

    def on_train_start(self):
        torch.rand(5)

    def on_train_epoch_start(self):
        self.drawn.append(float(torch.rand(())))

    def training_step(self, *_):
        self.drawn.append(float(torch.rand(())))
        return self.weight * self.drawn[-1]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def numbers_drawn(*, hook=None, step=0, saved, **how):
    """Train two epochs of two batches, and save after a step in a hook."""

    def save(trainer, *_):
        if trainer.global_step == step:
            trainer.save_checkpoint(saved)

    images = make_shapes(num_train=8, num_val=4, image_size=16)
    views = Views([{"crop_size": 16, "num_crops": 2}], mean=images.mean, std=images.std)
    model, saving = Drawing(), [LambdaCallback(**{hook: save})] if hook else []
    trainer = tiny_trainer(callbacks=[ResumeWithinEpoch(), *saving], limit_val_batches=0, use_distributed_sampler=False)
    trainer.fit(model, ViewsData(images, views, batch_size=4), **how)
    return model.drawn


@pytest.mark.parametrize(("hook", "step", "left"), [("on_train_batch_end", 1, 4), ("on_train_epoch_end", 2, 3)])
def test_a_resumed_run_draws_what_the_undisturbed_one_draws(hook, step, left, tmp_path):
    saved = tmp_path / "last.ckpt"
    undisturbed = numbers_drawn(hook=hook, step=step, saved=saved)
    assert len(undisturbed) == 6
    torch.manual_seed(1)
    assert numbers_drawn(saved=saved, ckpt_path=saved, weights_only=True) == undisturbed[-left:]


def test_a_checkpoint_without_a_random_state_is_resumed(tmp_path):
    saved = tmp_path / "last.ckpt"
    numbers_drawn(hook="on_train_epoch_end", step=2, saved=saved)
    checkpoint = torch.load(saved, weights_only=True)
    del checkpoint["callbacks"]["ResumeWithinEpoch"]["random"]
    torch.save(checkpoint, saved)
    assert len(numbers_drawn(saved=saved, ckpt_path=saved, weights_only=True)) == 3
