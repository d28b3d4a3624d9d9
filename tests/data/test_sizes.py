"""The size of views that fits the files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from amask_solo.data import load_image_folder, load_image_masks
from amask_solo.data.sizes import check_image_size, resolve_image_size
from tests.data.pictures import noise, plain, save


def files(folder, sizes):
    return [save(noise(h, w, seed=n), folder / f"{n:03}.png") for n, (w, h) in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 32)] * 3, 32),
        ([(28, 28)] * 3, 28),
        ([(40, 28), (28, 60)], 28),
        ([(100, 60), (61, 90), (300, 64)], 64),
        ([(96, 96), (96, 96), (20, 20), (400, 400), (96, 96)], 96),
        ([(3, 3), (2, 2), (5, 9)], 8),
        ([(300, 500), (400, 260)], 224),
        ([(225, 225)], 224),
        ([(1, 1)], 1),
    ],
)
def test_auto_is_the_median_of_the_shorter_sides(tmp_path, sizes, expected):
    assert resolve_image_size("auto", files(tmp_path, sizes)) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_auto_is_a_size_between_the_smallest_and_the_largest_up_to_rounding(tmp_path_factory, sides):
    folder = tmp_path_factory.mktemp("sizes")
    paths = [save(plain((1, 2, 3), size=side), folder / f"{n}.png") for n, side in enumerate(sides)]
    size = resolve_image_size("auto", paths)
    assert 1 <= size <= 224
    assert min(*sides, 224, 224) - 4 <= size <= max(8, max(sides) + 4)


def test_what_cannot_be_read_does_not_count(tmp_path):
    paths = files(tmp_path, [(40, 40)] * 2)
    for name, content in {"text.png": b"no picture", "empty.png": b"", "bomb.bmp": b"BM" + b"\xff" * 60}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    assert resolve_image_size("auto", [*paths, tmp_path / "gone.png"]) == 40
    assert resolve_image_size("auto", paths[2:]) == 224


def test_a_given_size_is_taken_as_it_is(tmp_path):
    assert resolve_image_size(17, files(tmp_path, [(40, 40)])) == 17


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "large", "", None, [32], float("nan")])
def test_other_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="'auto' or a whole number"):
        check_image_size(wrong)


def test_the_side_counts_that_is_shorter_when_the_picture_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(noise(24, 40), tmp_path / "a.jpg", exif=exif)
    assert load_image_folder(train_path=str(tmp_path)).image_size == 24


def test_folders_of_images_and_of_pairs_measure_alike(tmp_path):
    for number in range(4):
        save(noise(32, 48, seed=number), tmp_path / "images" / f"{number}.png")
        save(noise(32, 48, seed=number).convert("L"), tmp_path / "masks" / f"{number}.png")
    folder = load_image_folder(train_path=str(tmp_path / "images"))
    pairs = load_image_masks(images_path=str(tmp_path / "images"), masks_path=str(tmp_path / "masks"))
    assert (folder.image_size, pairs.image_size, pairs.train.size) == (32, 32, 32)
