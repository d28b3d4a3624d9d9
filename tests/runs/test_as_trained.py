"""Other images than those of a training are read as its backbone expects, and the words say how."""

import re

import numpy as np
import pytest
import tifffile
from omegaconf import OmegaConf

from amask_solo.errors import UserError
from amask_solo.hosts.repairs import STATE
from amask_solo.runs.as_trained import PUBLISHED, load_as_trained
from tests.data.test_pixels import SIZE, tiffs, values

FOLDER = "amask_solo.data.load_image_folder"
LIKE = {"image_size": SIZE, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}


def trained(**said):
    return {STATE: {"images": {**LIKE, **said}}, "state_dict": {}}


def images(root, top, kind=np.uint16, shape=(SIZE, SIZE), **options):
    root.mkdir(exist_ok=True)
    return tiffs(root / "set", lambda seed: values(*shape, top=top, seed=seed, kind=kind), **options)


def load(root, checkpoint, **given):
    """Load a folder as ``amask-evaluate data=image_folder data.train_path=...`` does."""
    node = OmegaConf.create(
        {"_target_": FOLDER, "train_path": root, "image_size": SIZE, "load_size": SIZE, "value_range": "auto"}
        | {"bands": None, "channels": None, **given}
    )
    return load_as_trained(node, node, None, checkpoint)


def test_values_mean_what_they_meant_in_the_training(tmp_path):
    checkpoint = trained(value_range=(0, 3000), numbers="whole numbers")
    found = load(images(tmp_path, 1500), checkpoint)
    assert found.data.value_range == (0, 3000)
    assert int(found.data.train.stack().max()) == pytest.approx(255 / 2, abs=1)  # half of white, not white
    assert (found.data.mean, found.data.std) == (LIKE["mean"], LIKE["std"])
    assert found.said == "Values from 0 to 3000 became black to white, as in training."
    assert found.settings["value_range"] == [0, 3000]
    assert found.reading["value_range"] == {"whole numbers": (0, 3000)}


@pytest.mark.parametrize(
    ("top", "kind", "said"),
    [
        (1.0, np.float32, r"0 to 1 became .* since they hold numbers with a point, and those of the training whole"),
        (255, np.uint8, "8 bits were taken as they are; the range of the training is of whole numbers"),
    ],
)
def test_another_kind_of_numbers_has_its_own_range(tmp_path, top, kind, said):
    found = load(images(tmp_path, top, kind), trained(value_range=(0, 200), numbers="whole numbers"))
    stack = found.data.train.stack()
    assert (int(stack.min()), int(stack.max())) == (0, 255)
    assert len(stack.unique()) > 200
    assert found.said[0] == "V"
    assert re.search(said, found.said)


def test_deep_images_for_a_backbone_of_8_bits_are_measured_with_a_word(tmp_path):
    found = load(images(tmp_path, 900), trained())
    assert found.data.value_range == (0, 900)
    assert "since they hold whole numbers, and those of the training 8 bits" in found.said


def test_8_bits_beside_a_training_of_8_bits_need_no_word(tmp_path):
    assert load(images(tmp_path, 255, np.uint8), trained()).said == ""


def test_what_the_user_gives_takes_precedence(tmp_path):
    checkpoint = trained(value_range=(0, 3000), numbers="whole numbers", bands=[3, 2, 1])
    root = images(tmp_path, 900, shape=(4, SIZE, SIZE), photometric="minisblack")
    found = load(root, checkpoint, value_range=[0, 900], bands=[1, 2, 3])
    assert (found.data.value_range, found.data.bands, found.said) == ((0, 900), (1, 2, 3), "")


def test_statistics_that_are_given_count_and_the_file_says_those_that_were_used(tmp_path):
    root = images(tmp_path, 255, np.uint8)
    found = load(root, trained(), mean=[0.5] * 3, std=[0.25] * 3)
    assert (found.data.mean, found.normalized_by) == ((0.5,) * 3, "data.mean and data.std as given")
    found = load(root, trained(), **PUBLISHED)  # as the file of a set says of itself
    assert (found.data.mean, found.normalized_by) == (LIKE["mean"], "the run's images")
    assert found.settings["mean"] == [*LIKE["mean"]]


def test_bands_are_those_of_the_training(tmp_path):
    root = images(tmp_path, 900, shape=(4, SIZE, SIZE), photometric="minisblack")
    checkpoint = trained(bands=[4, 2, 1], value_range=(0, 900), numbers="whole numbers")
    found = load(root, checkpoint)
    expected = np.moveaxis(tifffile.imread(f"{root}/0.tif")[[3, 1, 0]], 0, -1)
    assert np.allclose(found.data.train.image(0).permute(1, 2, 0).numpy(), expected / 900 * 255, atol=0.51)
    assert found.said.startswith("Took the bands 4, 2, 1, as in training. Values from 0 to 900")


def test_channels_are_those_of_the_training_or_it_is_said(tmp_path):
    gray = {"mean": (0.5,), "std": (0.2,)}
    assert load(images(tmp_path / "gray", 255, np.uint8), trained(**gray)).data.train.channels == 1
    colors = images(tmp_path / "colors", 255, np.uint8, shape=(SIZE, SIZE, 3), photometric="rgb")
    with pytest.raises(UserError, match=r"trained on images of 1 channel\(s\), but those of 'set' have 3.*data.bands"):
        load(colors, trained(**gray))
    assert load(colors, trained(**gray), bands=[2]).data.train.channels == 1


def test_the_runs_own_images_of_two_depths_are_read_again_as_they_were(tmp_path):
    # The measured range of the deep ones lies within 8 bits, and is not for those of 8 bits.
    root = images(tmp_path, 100)
    tifffile.imwrite(f"{root}/9.tif", values(SIZE, SIZE, top=255, kind=np.uint8))
    node = OmegaConf.create({"_target_": FOLDER, "train_path": root, "image_size": SIZE, "load_size": SIZE})
    first = load_as_trained(node, None, None, {"state_dict": {}})
    node.value_range = list(first.data.value_range)  # as config.yaml has it
    again = load_as_trained(node, None, None, trained(value_range=(0, 100), numbers="whole numbers"))
    assert again.data.train.stack().equal(first.data.train.stack())
