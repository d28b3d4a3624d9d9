from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from amask_solo.data.image_folder import read_classes
from amask_solo.signatures import read_arguments
from tests.data.pictures import labeled_tree

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_key_is_an_argument_and_the_image_size_is_given(path):
    config = OmegaConf.load(path)
    assert set(config) - {"_target_"} <= read_arguments(config["_target_"]).names
    assert config.image_size == "auto" or config.image_size > 0
    assert path.read_text().startswith("# ")


def test_the_default_builds_as_it_is():
    config = OmegaConf.load(next(path for path in CONFIGS if path.stem == "shapes"))
    data = hydra.utils.instantiate(config, num_train=16, num_val=8)
    assert (len(data.train), len(data.val), data.name) == (16, 8, "shapes")


@pytest.mark.parametrize("name", ["image_folder", "imagenet100", "imagenet100s"])
def test_folders_build_from_their_configs(tmp_path, name):
    config = OmegaConf.load(next(path for path in CONFIGS if path.stem == name))
    classes = dict.fromkeys(read_classes("imagenet100")[:2], 3)
    train, val = (str(labeled_tree(tmp_path / split, classes=classes)) for split in ("train", "val"))
    data = hydra.utils.instantiate(config, train_path=train, val_path=val)
    assert data.num_classes == 2
    # Only the size that is taken from the files needs no enlarging.
    assert data.train.size == (16 if config.image_size == "auto" else round(config.image_size * 8 / 7))
    assert len(data.mean) == len(data.std) == 3
