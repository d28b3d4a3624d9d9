"""Files of other depths than 8 bits, in formats of which Pillow says or keeps less than they hold."""

import struct

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from amask_solo.data import load_image_folder
from amask_solo.data.decode import decode_image, readable
from amask_solo.data.mask_files import read_masks
from amask_solo.errors import UserError
from tests.data.pictures import noise, save

SIZE = 16


def write_bmp565(path):
    """Write one blue row below red ones, with 5, 6 and 5 bits of red, green and blue."""
    pixels = np.full((SIZE, SIZE), 0xF800, np.uint16)
    pixels[0] = 0x001F
    header = struct.pack("<IiiHHIIiiII", 40, SIZE, SIZE, 1, 16, 3, pixels.nbytes, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    start = 14 + len(header) + len(masks)
    path.write_bytes(
        struct.pack("<2sIHHI", b"BM", start + pixels.nbytes, 0, 0, start) + header + masks + pixels.tobytes()
    )
    return path


def test_sixteen_bits_for_three_colors_are_no_deep_color(tmp_path):
    path = write_bmp565(tmp_path / "a.bmp")
    assert readable(path)
    image = decode_image(path, size=SIZE)
    assert image[:, 0, 0].tolist() == [255, 0, 0]
    assert image[:, -1, 0].tolist() == [0, 0, 255]


def write_ppm(path):
    path.write_bytes(b"P6 16 16 4095\n" + np.full((SIZE, SIZE, 3), 4000, ">u2").tobytes())


def write_sgi(path):
    noise(SIZE, SIZE).save(path, bpc=2)


def write_jpeg2000(path):
    noise(SIZE, SIZE).save(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start + 42 : start + 51 : 3] = [11] * 3  # 12 bits of each color
    path.write_bytes(content)


DEEP = {"a.ppm": write_ppm, "a.sgi": write_sgi, "a.jp2": write_jpeg2000, "a.j2k": write_jpeg2000}


@pytest.mark.parametrize("name", DEEP)
def test_colors_that_would_be_cut_to_8_bits_are_refused_and_never_skipped(tmp_path, name):
    DEEP[name](tmp_path / name)
    for on_error in ("raise", "skip"):
        with pytest.raises(UserError, match=rf"{name}' holds colors of more than 8 bits.*convert it to PNG or TIFF"):
            load_image_folder(train_path=str(tmp_path), image_size=SIZE, load_size=SIZE, on_error=on_error)


@pytest.mark.parametrize("name", ["a.ppm", "a.sgi", "a.jp2", "a.j2k"])
def test_8_bits_of_color_in_the_same_formats_are_read(tmp_path, name):
    picture = noise(SIZE, SIZE)
    options = {"irreversible": False} if "j" in name else {}
    image = decode_image(save(picture, tmp_path / name, **options), size=SIZE)
    assert torch.equal(image, torch.from_numpy(np.array(picture)).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["a.pgm", "a.jp2"])
def test_16_bits_of_gray_in_the_same_formats_are_read_whole(tmp_path, name):
    ramp = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
    image = decode_image(save(Image.fromarray(ramp), tmp_path / name), size=SIZE)
    assert torch.equal(image[0], torch.from_numpy((ramp / 257).round().astype(np.uint8)))


def test_an_image_of_too_many_pixels_is_not_called_broken(tmp_path, monkeypatch):
    save(noise(SIZE, SIZE), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for on_error in ("raise", "skip"):
        with pytest.raises(UserError, match=r"a\.png' has too many pixels .*shrink it or cut it into tiles"):
            load_image_folder(train_path=str(tmp_path), image_size=SIZE, load_size=SIZE, on_error=on_error)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_is_black_or_white_also_in_tiffs_with_pages(tmp_path, photometric):
    bits = np.random.default_rng(0).random((3, SIZE, SIZE)) < 0.5
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric=photometric)
    save(noise(SIZE, SIZE), tmp_path / "b.png")
    data = load_image_folder(train_path=str(tmp_path), image_size=SIZE, load_size=SIZE)
    white = bits if photometric == "minisblack" else ~bits
    assert torch.equal(data.train.image(0), torch.from_numpy(white).byte() * 255)
    assert data.value_range is None


@pytest.mark.parametrize("values", ["auto", "index", "brightness"])
def test_masks_of_one_bit_in_tiffs_with_pages_are_those_of_objects(tmp_path, values):
    bits = np.repeat(np.random.default_rng(0).random((1, SIZE, SIZE)) < 0.5, 3, axis=0)
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric="minisblack")
    objects, void = read_masks([tmp_path / "a.tif"], size=SIZE, values=values)
    assert torch.equal(objects[0, 0], torch.from_numpy(bits[0]))
    assert void is None


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_further_frames_are_said_to_be_left_out(tmp_path, name):
    frames = [noise(SIZE, SIZE, seed=seed) for seed in range(3)]
    save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=rf"1 of 1 files have further pages or frames, .*{name}.*save each as a file"):
        load_image_folder(train_path=str(tmp_path), image_size=SIZE, load_size=SIZE)


def test_the_preview_in_a_photo_is_no_further_frame(tmp_path):
    save(noise(SIZE, SIZE), tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[noise(8, 8)])
    assert len(load_image_folder(train_path=str(tmp_path), image_size=SIZE, load_size=SIZE).train) == 1
