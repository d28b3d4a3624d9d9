import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from amask_solo.data.decode import decode_all, decode_image, map_files, readable
from amask_solo.errors import UserError
from tests.data.pictures import noise, plain, save, truncate

RED = (200, 40, 40)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", "png"), ("RGB", "jpg"), ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "tiff"),
        ("RGBA", "png"), ("P", "png"), ("P", "gif"), ("CMYK", "jpg"), ("CMYK", "tiff"),
    ],
)  # fmt: skip
def test_every_color_mode_becomes_the_same_rgb(tmp_path, mode, suffix):
    path = save(plain(RED).convert(mode, palette=Image.Palette.ADAPTIVE), tmp_path / f"a.{suffix}")
    image = decode_image(path, size=24)
    assert image.dtype == torch.uint8
    assert image.shape == (3, 24, 24)
    torch.testing.assert_close(image[:, 12, 12].int(), torch.tensor(RED).int(), atol=8, rtol=0)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_gray_files_have_three_equal_channels(tmp_path, mode):
    image = decode_image(save(noise(channels=1).convert(mode), tmp_path / "a.png"), size=24)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert image.unique().numel() >= 2


def test_sixteen_bit_gray_keeps_its_range(tmp_path):
    ramp = np.linspace(0, 65535, 24 * 24).reshape(24, 24).astype(np.uint16)
    image = decode_image(save(Image.fromarray(ramp), tmp_path / "a.png"), size=24)
    assert torch.equal(image[0], torch.from_numpy((ramp / 257).round().astype(np.uint8)))


def test_a_transparent_palette_gives_no_warning(tmp_path, recwarn):
    palette = plain(RED).convert("P")
    decode_image(save(palette, tmp_path / "a.png", transparency=bytes([0] * 10)), size=24)
    assert not recwarn.list


def test_the_orientation_tag_is_obeyed(tmp_path):
    picture = Image.new("RGB", (24, 24))
    picture.paste((255, 255, 255), (0, 0, 24, 12))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the upper half is then at the right
    image = decode_image(save(picture, tmp_path / "a.png", exif=exif), size=24)
    assert image[:, :, :12].max() == 0
    assert image[:, :, 12:].min() == 255


@given(seed=st.integers(0, 1000), size=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_an_image_of_the_right_size_is_kept_to_the_bit(tmp_path_factory, seed, size):
    picture = noise(size, size, seed=seed)
    path = save(picture, tmp_path_factory.mktemp("bit") / "a.png")
    assert np.array_equal(decode_image(path, size=size).permute(1, 2, 0).numpy(), np.array(picture))


def test_a_jpeg_of_the_right_size_is_kept_to_the_bit(tmp_path):
    path = save(noise(32, 32), tmp_path / "a.jpg", quality=75)
    assert np.array_equal(decode_image(path, size=32).permute(1, 2, 0).numpy(), np.array(Image.open(path)))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_center_of_a_wide_image_is_kept(tmp_path, suffix):
    picture = Image.new("RGB", (96, 32))
    picture.paste((255, 255, 255), (32, 0, 64, 32))
    path = save(picture, tmp_path / f"a.{suffix}")
    assert decode_image(path, size=16)[:, 2:-2, 2:-2].float().mean() > 250


def test_large_jpegs_shrink_without_aliasing(tmp_path):
    """A fine checkerboard turns gray; a decoder that picked pixels would keep it as it is."""
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    path = save(Image.fromarray(board).convert("RGB"), tmp_path / "a.jpg", quality=100)
    image = decode_image(path, size=32).float()
    assert image.std() < 5
    assert 100 < image.mean() < 155


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = truncate(save(noise(64, 64), tmp_path / f"broken.{suffix}"))
    assert not readable(path)
    with pytest.raises(UserError, match=rf"broken\.{suffix}.*on_error=skip"):
        decode_image(path, size=32)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\nxxxx", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.jpg") as caught:
        decode_image(path, size=8)
    assert "\n" not in str(caught.value)


def test_many_files_come_in_order(tmp_path):
    paths = [save(plain((v, v, v), size=8), tmp_path / f"{v}.png") for v in range(200)]
    images = decode_all(paths, size=8)
    assert images[:, 0, 0, 0].tolist() == list(range(200))


def test_reading_many_files_leaves_the_filters_of_warnings_alone(tmp_path):
    files = [save(noise(8, 8), tmp_path / f"{number}.png") for number in range(20)]
    with warnings.catch_warnings():
        before = list(warnings.filters)
        for _ in range(20):
            decode_all(files, size=8)
            assert list(map_files(readable, files, what="Checking")) == [True] * 20
        assert warnings.filters == before
