"""The part of the training images that settings are chosen on."""

import pytest
import torch

from amask_solo.data import ArrayImages, channel_statistics, load_image_folder, load_image_masks, make_shapes
from amask_solo.data.assemble import assemble
from tests.data.pictures import labeled_tree, noise, save


def numbered(labels):
    """Return images of which each pixel is the image's number."""
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    return ArrayImages(pixels, torch.tensor(labels))


def numbers(images):
    return images.stack()[:, 0, 0, 0].tolist()


def parts(labels, **settings):
    made = {"tune_fraction": 0.25, "seed": 0, **settings}
    return assemble(numbered(labels), numbered([0, 1]), ["a", "b"], image_size=2, name="numbers", **made)


def test_the_held_out_part_is_of_the_training_images_and_has_their_classes():
    data = parts([0] * 40 + [1] * 20)
    assert sorted(numbers(data.train) + numbers(data.val)) == list(range(60))
    assert data.val.labels.bincount().tolist() == [10, 5]


def test_images_without_labels_are_trained_on_and_never_held_out():
    data = parts([0, 1] * 20 + [-1] * 50)
    assert data.val.labels.bincount().tolist() == [5, 5]
    assert sorted(numbers(data.train) + numbers(data.val)) == list(range(90))


def test_where_no_image_has_a_label_any_may_be_held_out():
    assert (len(parts([-1] * 40).train), len(parts([-1] * 40).val)) == (30, 10)


def test_the_split_is_always_the_same_for_a_seed_of_the_data():
    labels = [0, 1] * 20
    assert numbers(parts(labels).val) == numbers(parts(labels).val)
    assert numbers(parts(labels).val) != numbers(parts(labels, seed=1).val)


def test_statistics_are_those_of_the_images_that_are_trained_on():
    data = parts([0, 1] * 20)
    assert data.mean[0] == pytest.approx(sum(numbers(data.train)) / 30 / 255)


def test_statistics_are_those_of_all_classes_where_these_take_turns():
    labels = torch.arange(20_000) % 8
    images = ArrayImages((30 * labels).byte()[:, None, None, None].expand(-1, 3, 2, 2), labels)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((105 / 255,) * 3, abs=0.02)
    assert std == pytest.approx((30 * 63**0.5 / 12**0.5 / 255,) * 3, abs=0.02)
    assert channel_statistics(images) == (mean, std)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mean", [123.7, 116.3, 103.5]),
        ("mean", [-0.1, 0.5, 0.5]),
        ("std", [58.4, 57.1, 57.4]),
        ("std", [0.2, 0.2, 0.0]),
    ],
)
def test_statistics_on_another_scale_than_fractions_of_white_are_refused(name, values):
    with pytest.raises(ValueError, match=rf"Expected {name} as fractions of white, such as \[0\.\d+, .*{values[0]}"):
        parts([0, 1] * 20, **{name: values})


def test_statistics_that_leave_the_values_as_they_are_may_be_given():
    data = parts([0, 1] * 20, mean=[0.0] * 3, std=[1.0] * 3)
    assert (data.mean, data.std) == ((0.0,) * 3, (1.0,) * 3)


def test_without_a_fraction_the_parts_are_as_they_were():
    data = parts([0, 1] * 20, tune_fraction=0.0)
    assert (len(data.train), numbers(data.val)) == (40, [0, 1])


@pytest.mark.parametrize("fraction", [1.0, -0.1, 0.01])
def test_a_fraction_that_leaves_nothing_on_one_side_is_refused(fraction):
    with pytest.raises(ValueError, match="tune_fraction"):
        parts([0, 1] * 20, tune_fraction=fraction)


def test_every_kind_of_data_has_the_split(tmp_path):
    root = labeled_tree(tmp_path / "train", classes={"a": 12, "b": 12})
    for file in (*labeled_tree(tmp_path / "val", classes={"a": 2, "b": 2}).rglob("*.png"),):
        file.write_bytes(b"nobody reads this")
    for number in range(20):
        save(noise(seed=number), tmp_path / "images" / f"{number}.png")
        save(noise(seed=number, channels=1), tmp_path / "masks" / f"{number}.png")
    folders = {"images_path": str(tmp_path / "images"), "masks_path": str(tmp_path / "masks")}
    split = {"image_size": 16, "tune_fraction": 0.25}
    folder = load_image_folder(train_path=str(root), val_path=str(tmp_path / "val"), max_images=16, **split)
    shapes = make_shapes(num_train=16, num_val=8, num_classes=2, **split)
    for data in (folder, shapes):
        assert (len(data.train), data.val.labels.bincount().tolist()) == (12, [2, 2])
        assert data.val.stack().shape == (4, 3, data.val.size, data.val.size)
    masks = load_image_masks(**folders, **split)
    # Four of twenty are held out for validation before.
    assert (len(masks.train), len(masks.val), masks.val.masks.shape[0]) == (12, 4, 4)
