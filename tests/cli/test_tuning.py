"""A run that is for choosing settings never sees the images that confirm them."""

import json

import pytest

from tests.cli.command import HEADS, NARROW, call
from tests.data.pictures import labeled_tree


@pytest.fixture
def folders(tmp_path):
    """Return training and test images, of which the latter cannot be read."""
    train = labeled_tree(tmp_path / "train", classes={"a": 16, "b": 16}, size=32)
    for file in labeled_tree(tmp_path / "test", classes={"a": 4, "b": 4}, size=32).rglob("*.png"):
        file.write_bytes(b"")
    return [f"data.train_path={train}", f"data.val_path={tmp_path / 'test'}"]


def test_training_and_evaluation_use_the_same_parts_of_the_training_images(tmp_path, folders):
    settings = ["data=image_folder", *folders, "data.image_size=32", "data.tune_fraction=0.25", "stem=imagenet"]
    few = ["max_epochs=1", "optimizer.batch_size=8", "trainer=cpu", "mask_panels=1", "online_knn=1"]
    said = call("pretrain", "method=simclr", *NARROW, HEADS[0], *settings, *few, "run_folder=run", cwd=tmp_path)
    assert said.code == 0, said.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["train_images"], summary["val_images"]) == (24, 8)
    said = call("evaluate", "ckpt=run", "protocol=[knn]", cwd=tmp_path)
    assert said.code == 0, said.err
    (result,) = json.loads((tmp_path / "run" / "evaluation.json").read_text())["results"]
    assert result["images"]["tune_fraction"] == 0.25
    said = call("evaluate", "ckpt=run", "protocol=[knn]", "data.seed=1", cwd=tmp_path)
    assert said.code == 2
    assert "with data.seed=1 instead of 0 it was trained on" in said.err
