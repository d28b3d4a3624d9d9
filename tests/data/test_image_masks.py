"""Pairs of image and mask files, as users have them."""

import numpy as np
import pytest
import torch
from PIL import Image

from amask_solo.augment.views import evaluation_view
from amask_solo.data import load_image_masks
from amask_solo.errors import UserError
from tests.data.pictures import noise, save, truncate


def spot(height=24, width=24, *, top=4, left=6, side=9, value=255):
    """Return the mask of a square."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[top : top + side, left : left + side] = value
    return Image.fromarray(mask)


def picture_of(mask, *, seed=0):
    """Return a picture that is brightest where the mask is: the two cannot be confused."""
    ground = np.array(noise(mask.height, mask.width, seed=seed)) // 4
    return Image.fromarray(np.where(np.array(mask)[..., None] > 127, 255, ground).astype(np.uint8))


def pairs(root, names, *, suffix="png", size=24):
    for number, name in enumerate(names):
        mask = spot(size, size, top=number % 10, left=(3 * number) % 12)
        save(picture_of(mask, seed=number), root / "images" / f"{name}.{suffix}")
        save(mask, root / "masks" / f"{name}.png")
    return {"images_path": str(root / "images"), "masks_path": str(root / "masks")}


def test_images_and_masks_come_in_pairs(tmp_path):
    data = load_image_masks(**pairs(tmp_path, [f"{n:02}" for n in range(10)]), image_size=24)
    assert (len(data.train), len(data.val), data.image_size, data.train.size) == (8, 2, 24, 24)
    assert (data.labeled, data.num_classes, data.name) == (False, 1, "images")
    for part in (data.train, data.val):
        assert part.masks.dtype == torch.bool
        assert torch.equal(part.masks, (part.stack() == 255).all(dim=1, keepdim=True))


def test_the_masks_fit_the_view_of_the_evaluation(tmp_path):
    """The view is only normalized, so that white stays where the object is."""
    folders = pairs(tmp_path, [f"{n:02}" for n in range(5)], size=48)
    data = load_image_masks(**folders, image_size=16)
    view = evaluation_view(data.train.stack(), mean=(0.0,) * 3, std=(1.0,) * 3, size=data.image_size)
    inside = view.mean(dim=1, keepdim=True)[data.train.masks]
    outside = view.mean(dim=1, keepdim=True)[~data.train.masks]
    assert inside.mean() > 0.9
    assert outside.mean() < 0.2


@pytest.mark.parametrize(("height", "width"), [(40, 72), (72, 40), (61, 47)])
@pytest.mark.parametrize("size", [16, 32, 96])
def test_images_and_masks_are_cropped_alike(tmp_path, height, width, size):
    mask = spot(height, width, top=height // 2 - 12, left=width // 2 - 15, side=20)
    save(picture_of(mask), tmp_path / "images" / "a.png")
    save(mask, tmp_path / "masks" / "a.png")
    data = load_image_masks(
        images_path=str(tmp_path / "images"), masks_path=str(tmp_path / "masks"), image_size=size, val_fraction=0.0
    )
    assert data.val is None
    bright = (data.train.stack() > 150).all(dim=1, keepdim=True)
    assert (bright ^ data.train.masks).sum() <= 0.15 * data.train.masks.sum()
    scale = size / min(height, width)
    assert data.train.masks.sum().item() == pytest.approx((20 * scale) ** 2, rel=0.2)


@pytest.mark.parametrize(
    "convert",
    [lambda mask: mask, lambda mask: mask.convert("1"), lambda mask: mask.convert("RGB"),
     lambda mask: mask.convert("LA"), lambda mask: Image.fromarray(np.array(mask).astype(np.uint16) * 257)],
    ids=["gray", "one_bit", "rgb", "gray_alpha", "sixteen_bits"],
)  # fmt: skip
def test_masks_of_any_mode_say_the_same(tmp_path, convert):
    folders = pairs(tmp_path, ["a", "b"])
    expected = load_image_masks(**folders, image_size=24, val_fraction=0.0).train.masks
    for file in (tmp_path / "masks").iterdir():
        save(convert(Image.open(file)), file)
    assert torch.equal(load_image_masks(**folders, image_size=24, val_fraction=0.0).train.masks, expected)


def test_coarser_masks_are_enlarged(tmp_path):
    folders = pairs(tmp_path, ["a"], size=24)
    save(spot(6, 6, top=1, left=2, side=3), tmp_path / "masks" / "a.png")
    (mask,) = load_image_masks(**folders, image_size=24, val_fraction=0.0).train.masks
    expected = torch.zeros(24, 24, dtype=torch.bool)
    expected[4:16, 8:20] = True
    assert torch.equal(mask[0], expected)


def test_the_orientation_tag_turns_image_and_mask_together(tmp_path):
    mask = spot(24, 32, top=2, left=3, side=8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture_of(mask).transpose(Image.Transpose.ROTATE_90)  # the tag turns it back
    save(turned, tmp_path / "images" / "a.png", exif=exif)
    save(mask, tmp_path / "masks" / "a.png")
    data = load_image_masks(
        images_path=str(tmp_path / "images"), masks_path=str(tmp_path / "masks"), image_size=24, val_fraction=0.0
    )
    assert torch.equal(data.train.masks, (data.train.stack() == 255).all(dim=1, keepdim=True))


def test_sub_folders_are_classes(tmp_path):
    folders = pairs(tmp_path, [f"{kind}/{n}" for kind in ("horse", "bag") for n in range(10)], suffix="jpg")
    data = load_image_masks(**folders, image_size=24)
    assert data.class_names == ["bag", "horse"]
    assert data.train.labels.bincount().tolist() == [8, 8]
    assert data.val.labels.bincount().tolist() == [2, 2]
    assert not load_image_masks(**folders, image_size=24, labels="none").labeled


def test_the_seed_decides_the_subset_and_the_split(tmp_path):
    folders = pairs(tmp_path, [f"{kind}/{n}" for kind in ("a", "b") for n in range(8)])
    first, again, other = (
        load_image_masks(**folders, image_size=24, max_images=10, seed=seed, val_fraction=0.4) for seed in (0, 0, 1)
    )
    assert (len(first.train), len(first.val)) == (10, 6)
    every = load_image_masks(**folders, image_size=24, val_fraction=0.4)
    assert set(first.train.names) <= set(every.train.names)
    assert set(first.val.names) <= set(every.val.names)
    assert torch.equal(first.train.masks, (first.train.stack() == 255).all(dim=1, keepdim=True))
    assert torch.equal(first.val.stack(), again.val.stack())
    assert not torch.equal(first.val.stack(), other.val.stack())


def test_statistics_and_name_can_be_given(tmp_path):
    folders = pairs(tmp_path, ["a", "b"])
    data = load_image_masks(**folders, image_size=24, mean=[0.1, 0.2, 0.3], std=[1.0, 1.0, 1.0], name="spots")
    assert (data.mean, data.std, data.name) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0), "spots")


@pytest.mark.parametrize(("missing", "found"), [("masks", "images"), ("images", "masks")])
def test_a_file_without_a_partner_is_named(tmp_path, missing, found):
    folders = pairs(tmp_path, ["x/a", "x/b"])
    (tmp_path / missing / "x" / "b.png").unlink()
    with pytest.raises(UserError, match=rf"{found}/x/b\.png.*{missing}"):
        load_image_masks(**folders, image_size=24)


def test_two_files_of_one_name_are_refused(tmp_path):
    folders = pairs(tmp_path, ["a"])
    save(spot(), tmp_path / "masks" / "a.gif")
    with pytest.raises(UserError, match=r"a\.gif.*a\.png"):
        load_image_masks(**folders, image_size=24)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_empty_or_missing_folder_is_named(tmp_path, folder):
    folders = pairs(tmp_path, ["a"])
    (tmp_path / folder / "a.png").unlink()
    with pytest.raises(UserError, match=f"data.{folder}_path"):
        load_image_masks(**folders, image_size=24)
    (tmp_path / folder).rmdir()
    with pytest.raises(UserError, match=f"data.{folder}_path"):
        load_image_masks(**folders, image_size=24)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_broken_file_is_named(tmp_path, folder):
    folders = pairs(tmp_path, ["a", "b"])
    truncate(tmp_path / folder / "b.png")
    with pytest.raises(UserError, match=rf"{folder}/b\.png"):
        load_image_masks(**folders, image_size=24)


def test_a_mask_of_another_shape_is_named(tmp_path):
    folders = pairs(tmp_path, ["a", "b"])
    save(spot(24, 36), tmp_path / "masks" / "b.png")
    with pytest.raises(UserError, match=r"b\.png.*36 x 24.*24 x 24"):
        load_image_masks(**folders, image_size=24)


def test_masks_of_ones_are_not_taken_for_black(tmp_path):
    folders = pairs(tmp_path, ["a"])
    save(spot(value=1), tmp_path / "masks" / "a.png")
    with pytest.raises(UserError, match="brighter than half"):
        load_image_masks(**folders, image_size=24)


def test_masks_of_classes_without_any_bright_value_are_counted(tmp_path):
    folders = pairs(tmp_path, ["a", "b", "c"])
    for name, value in {"a": 20, "b": 20, "c": 150}.items():
        save(spot(value=value), tmp_path / "masks" / f"{name}.png")
    with pytest.warns(UserWarning, match=r"2 of 3 gray masks .* no value above 127.*data\.mask_values=index"):
        load_image_masks(**folders, image_size=24, val_fraction=0.0)


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"labels": "yes"}, {"val_fraction": 1.0}, {"max_images": 0}])
def test_wrong_settings_are_refused(tmp_path, wrong):
    with pytest.raises(Exception, match=r"Expected|violates|type"):
        load_image_masks(**pairs(tmp_path, ["a"]), **{"image_size": 24, **wrong})


def test_masks_that_are_all_object_are_refused(tmp_path):
    folders = pairs(tmp_path, ["a", "b"])
    for file in (tmp_path / "masks").iterdir():  # white, with the object in the transparency
        save(Image.merge("LA", (Image.new("L", (24, 24), 255), Image.open(file))), file)
    with pytest.raises(UserError, match=r"All of every mask in '.*masks' is object; transparency"):
        load_image_masks(**folders, image_size=24)
