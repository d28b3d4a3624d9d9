"""Features in files, and their map."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from amask_solo.data import ArrayImages, ImageData
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.embeddings import Embeddings
from amask_solo.evaluation.protocol import Subject

STEM = "embeddings_four_px_small"


class Mean(nn.Module):
    num_features = 3

    def forward(self, images):
        return images.mean(dim=(2, 3))


def subject(folder=None, *, val=30, labels=True, data_mean=0.5, **settings):
    def part(count, seed):
        pixels = torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(seed)).byte()
        named = [f"{seed}/{number}.png" for number in range(count)]
        return ArrayImages(pixels, torch.arange(count) % 3 if labels else torch.full((count,), -1), names=named)

    names = ["a", "b", "c"] if labels else []
    data = ImageData(
        part(20, 0), part(val, 1) if val else None, 3, names, (data_mean,) * 3, (0.25,) * 3, 4, "four px/small"
    )
    return Subject(Backbone(Mean()), data, folder=folder, **settings)


def test_features_labels_and_names_are_in_the_files(tmp_path):
    seen = subject(tmp_path)
    scores = Embeddings(method="pca")(seen)
    assert scores["images"] == 30
    assert scores["dimensions"] == 3
    assert 80 < scores["trustworthiness"] <= 100
    assert [file.name for file in seen.written] == [f"{STEM}{end}" for end in ("_train.npz", "_val.npz", ".png")]
    for split, images, count in (("train", seen.data.train, 20), ("val", seen.data.val, 30)):
        with np.load(tmp_path / f"{STEM}_{split}.npz") as held:
            expected = seen.encode(seen.view(images.stack()))
            assert held["features"].shape == (count, 3)
            np.testing.assert_allclose(held["features"], expected.numpy(), rtol=1e-5)
            assert held["labels"].tolist() == images.labels.tolist()
            assert held["names"].tolist() == images.names
            assert held["class_names"].tolist() == ["a", "b", "c"]
    with Image.open(tmp_path / f"{STEM}.png") as picture:
        assert picture.width > 300


def test_images_without_labels_have_features_too(tmp_path):
    scores = Embeddings(splits=["val"], method="pca", most=12)(subject(tmp_path, labels=False))
    assert scores["images"] == 12
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{STEM}{end}" for end in (".png", "_val.npz")]


def test_where_nothing_is_held_out_the_map_shows_all_images(tmp_path):
    scores = Embeddings(method="pca")(subject(tmp_path, val=0, labels=False))
    assert scores["images"] == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{STEM}{end}" for end in (".png", "_train.npz")]
    with pytest.raises(UserError, match=r"no validation images; set data.val_path\.$"):
        Embeddings(splits=["val"])(subject(tmp_path, val=0, labels=False))


def test_a_broken_backbone_leaves_no_file(tmp_path):
    seen = subject(tmp_path, data_mean=torch.nan)
    with pytest.raises(UserError, match="features that are not finite"):
        Embeddings(method="pca")(seen)
    assert not [*tmp_path.iterdir()]


def test_files_of_other_results_stay(tmp_path):
    seen = subject(tmp_path, taken={tmp_path / f"{STEM}{end}" for end in ("_val.npz", "_val_2.npz", ".png")})
    Embeddings(splits=["val"], method="pca", most=12)(seen)
    assert [file.name for file in seen.written] == [f"{STEM}_val_3.npz", f"{STEM}_2.png"]


def test_umap_draws_the_map_if_it_is_installed(tmp_path):
    pytest.importorskip("umap")
    assert Embeddings()(subject(tmp_path))["trustworthiness"] > 50


@pytest.mark.parametrize(("settings", "said"), [({"val": 2}, "at least 3"), ({"folder": None}, "folder")])
def test_what_cannot_be_drawn_or_written_is_refused(settings, said, tmp_path):
    with pytest.raises(UserError, match=said):
        Embeddings(method="pca")(subject(**{"folder": tmp_path, **settings}))


@pytest.mark.parametrize("setting", [{"splits": ["test"]}, {"method": "tsne"}, {"most": 2}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match="Expected"):
        Embeddings(**setting)
