"""``data.image_size=auto`` through the commands: measured once, written down, and the same ever after."""

import json

import pytest
from omegaconf import OmegaConf

from tests.cli.command import BARE, HEADS, NARROW, call
from tests.data.pictures import labeled_tree

SETTINGS = ["optimizer.batch_size=4", "trainer=cpu", *HEADS, *BARE, "data=image_folder", "data.train_path=photos"]


@pytest.fixture
def place(tmp_path):
    labeled_tree(tmp_path / "photos", classes={"a": 10, "b": 10}, size=24)
    return tmp_path


@pytest.mark.nightly
def test_small_images_are_not_enlarged_and_the_command_says_so(place):
    said = call("pretrain", *SETTINGS, *NARROW, "max_epochs=1", "name=first", cwd=place)
    assert said.code == 0, said.err
    assert "24 px" in said.out
    run = place / "runs" / "first_image_folder_seed0"
    assert json.loads((run / "summary.json").read_text())["image_size"] == 24
    cfg = OmegaConf.load(run / "config.yaml")
    assert (cfg.data.image_size, [recipe.crop_size for recipe in cfg.augmentations]) == (24, [24, 24])

    # Larger files that come later change neither the run that goes on nor the one that is evaluated.
    labeled_tree(place / "photos", classes={"a": 10, "b": 10}, size=40)
    said = call("pretrain", *SETTINGS, *NARROW, "max_epochs=1", "name=first", "resume=true", cwd=place)
    assert said.code == 0, said.err
    said = call("evaluate", f"ckpt={run}", "protocol=knn", cwd=place)
    assert said.code == 0, said.err
    (result,) = json.loads((run / "evaluation.json").read_text())["results"]
    assert result["images"]["image_size"] == 24
    assert OmegaConf.load(run / "config.yaml").data.image_size == 24


def test_pictures_show_images_at_the_size_that_the_masker_trains_on(place):
    small = ["data.image_size=16", "backbone.kwargs={patch_size:8,embed_dim:48,depth:1,num_heads:3}", "stem=auto"]
    argv = [*SETTINGS, "backbone.name=timm/vit_tiny_patch16_224", *small, "masker=saliency", "mask_panels=1"]
    said = call("pretrain", *argv, "max_epochs=1", "name=first", cwd=place)
    assert said.code == 0, said.err
    assert (place / "runs" / "first_image_folder_seed0" / "masks" / "epoch_0000.png").exists()


def test_a_run_is_not_resumed_with_another_size_or_other_images(place):
    said = call("pretrain", *SETTINGS, *NARROW, "max_epochs=1", "name=first", cwd=place)
    assert said.code == 0, said.err
    again = [*SETTINGS, *NARROW, "max_epochs=1", "name=first", "resume=true"]
    said = call("pretrain", *again, "data.image_size=32", cwd=place)
    assert said.code == 2
    assert "data.image_size: 24 -> 32" in said.err
    first, *_ = (place / "photos" / "a").iterdir()
    first.rename(first.with_name("other.jpg"))
    said = call("pretrain", *again, cwd=place)
    assert (said.code, "have changed since the run began: as many images, but of other names" in said.err) == (2, True)
    labeled_tree(place / "photos", classes={"wolf": 2}, size=24)
    said = call("pretrain", *again, cwd=place)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "have changed since the run began: 20 -> 22 images; class wolf added" in said.err


def test_other_images_are_seen_at_the_size_of_the_training_unless_another_is_given(place):
    said = call("pretrain", *SETTINGS, *NARROW, "max_epochs=1", "name=first", cwd=place)
    assert said.code == 0, said.err
    labeled_tree(place / "others", classes={"a": 4, "b": 4}, size=40)
    run = place / "runs" / "first_image_folder_seed0"
    argv = [f"ckpt={run}", "protocol=knn", "data=image_folder", "data.train_path=others", "data.val_fraction=0.5"]
    for size, word in (([], ""), (["data.image_size=40"], "Its views have 40 px, and had 24 px in training.")):
        said = call("evaluate", *argv, *size, cwd=place)
        assert said.code == 0, said.err
        assert ("in training." in said.out) == bool(word)
        assert word in said.out
    assert [r["images"]["image_size"] for r in json.loads((run / "evaluation.json").read_text())["results"]] == [24, 40]
