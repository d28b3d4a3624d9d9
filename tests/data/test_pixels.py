"""What training sees is what the files say: depth, bands, endings and layouts as users have them."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from amask_solo.augment.schema import read_recipes
from amask_solo.data import load_file_list, load_image_folder, load_image_masks, load_marked_folder
from amask_solo.data.base import random_sample
from amask_solo.data.reading import MEASURED
from amask_solo.data.values import shown_size
from amask_solo.errors import UserError
from amask_solo.same_images import describe_change
from tests.data.pictures import labeled_tree, noise, save

SIZE = 16


def values(*shape, top, seed=0, kind=np.uint16):
    """Return numbers from 0 to ``top``, with both ends among them."""
    drawn = np.random.default_rng(seed).random(shape) * top
    drawn.flat[0], drawn.flat[-1] = 0, top
    return drawn.round().astype(kind) if np.issubdtype(kind, np.integer) else drawn.astype(kind)


def write_png16(path, pixels):
    """Write color of 16 bits, which Pillow cannot."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def tiffs(root, make, count=3, **options):
    root.mkdir(exist_ok=True)
    for number in range(count):
        tifffile.imwrite(root / f"{number}.tif", make(number), **options)
    return str(root)


def same(image, picture, value_range):
    """Compare an image with what a file holds, to rounding."""
    low, high = value_range
    expected = torch.from_numpy((picture.astype(float) - low) / (high - low) * 255).permute(2, 0, 1)
    torch.testing.assert_close(image.double(), expected.expand(3, -1, -1), atol=0.51, rtol=0)


def load(root, **settings):
    return load_image_folder(**{"train_path": str(root), "image_size": SIZE, "load_size": SIZE, **settings})


DEPTHS = {
    "8 bits in 16": (255, np.uint16),
    "10 bits in 16": (1023, np.uint16),
    "12 bits in 16": (4095, np.uint16),
    "16 bits": (65535, np.uint16),
    "32 bits": (3_000_000_000, np.uint32),
    "a share": (1.0, np.float32),
    "a share in double": (1.0, np.float64),
    "large numbers with a point": (65535.0, np.float32),
}


@pytest.mark.parametrize(("top", "kind"), DEPTHS.values(), ids=DEPTHS)
@pytest.mark.parametrize("bands", [1, 3])
def test_black_and_white_are_the_lowest_and_the_highest_value_of_the_set(tmp_path, top, kind, bands):
    shape, options = ((SIZE, SIZE), {}) if bands == 1 else ((SIZE, SIZE, 3), {"photometric": "rgb"})
    root = tiffs(tmp_path / "set", lambda seed: values(*shape, top=top, seed=seed, kind=kind), **options)
    data = load(root)
    images = data.train.stack()
    same(images[0], values(*shape, top=top, kind=kind).reshape(SIZE, SIZE, -1), (0, top))
    assert data.value_range == pytest.approx((0, top))
    assert data.mean == pytest.approx((0.5,) * 3, abs=0.05)


def test_values_below_zero_are_seen(tmp_path):
    root = tiffs(tmp_path / "set", lambda seed: values(SIZE, SIZE, top=2000, seed=seed).astype(np.int16) - 1000)
    data = load(root)
    assert data.value_range == (-1000, 1000)
    assert (int(data.train.stack().min()), int(data.train.stack().max())) == (0, 255)
    small = tiffs(tmp_path / "small", lambda seed: (values(SIZE, SIZE, top=200, seed=seed) - 100).astype(np.int8))
    assert load(small).value_range == (-100, 100)


@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize(
    ("kind", "top"), [(np.uint8, 255), (np.uint16, 4095), (np.int16, 3000), (np.uint32, 70_000), (np.float32, 1.0)]
)
def test_white_is_zero_where_a_file_says_so(tmp_path, kind, top, pages):
    shape = (SIZE, SIZE) if pages == 1 else (pages, SIZE, SIZE)
    picture = values(*shape, top=top, kind=kind)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="miniswhite")
    same(load(tmp_path).train.image(0), top - picture.reshape(-1, SIZE, SIZE).transpose(1, 2, 0), (0, top))


def test_bright_masks_of_16_bits_are_inverted_where_a_file_says_so(tmp_path):
    folders, index = voc(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
        tifffile.imwrite(
            file.with_suffix(".tif"), np.where(index == 15, 0, 65535).astype(np.uint16), photometric="miniswhite"
        )
    assert torch.equal(load_image_masks(**folders).train.masks[0, 0], torch.from_numpy(index == 15))


TURNED = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
"""What turns a picture upright, by the orientation tag from 2 on."""


@pytest.mark.parametrize("turn", TURNED)
@pytest.mark.parametrize(
    ("bands", "kind"), [(1, np.uint8), (1, np.uint16), (1, np.float32), (3, np.uint8), (3, np.uint16)]
)
def test_tiffs_of_any_kind_are_upright(tmp_path, bands, kind, turn):
    picture = values(SIZE, SIZE + 4, 3, top=255, kind=np.uint8)
    picture = picture if bands == 3 else picture[..., 0]
    picture.flat[0], picture.flat[-1] = 0, 255
    options = {"photometric": "rgb" if bands == 3 else "minisblack"}
    tag = [(274, "H", 1, TURNED.index(turn) + 2, True)]
    tiff = tiffs(tmp_path / "tiff", lambda _: picture.astype(kind), 1, extratags=tag, **options)
    upright = Image.fromarray(picture).convert("RGB").transpose(Image.Transpose[turn])
    save(upright, tmp_path / "upright" / "a.png")
    assert torch.equal(load(tiff).train.stack(), load(tmp_path / "upright").train.stack())
    assert shown_size(tmp_path / "tiff" / "0.tif") == upright.size


@pytest.mark.parametrize("colors", ["cielab", "separated", "LAB"])
def test_colors_that_are_not_read_are_named_and_the_file_is_not_called_broken(tmp_path, colors):
    if colors == "LAB":
        Image.new("LAB", (SIZE, SIZE)).save(tmp_path / "a.tif")
    else:
        shape = (SIZE, SIZE, {"cielab": 3, "separated": 4}[colors])
        tifffile.imwrite(tmp_path / "a.tif", values(*shape, top=999), photometric=colors)
    for on_error in ("raise", "skip"):
        with pytest.raises(UserError, match=r"a\.tif' holds (LAB|CMYK) colors.*convert them to RGB"):
            load(tmp_path, on_error=on_error)


def test_pages_of_files_with_a_palette_are_no_bands(tmp_path):
    pages = [noise(SIZE, SIZE, seed=seed).quantize(4) for seed in (0, 1)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="further pages or frames, which are left out"):
        first = load(tmp_path).train.image(0)
    assert np.array_equal(first.permute(1, 2, 0).numpy(), np.array(pages[0].convert("RGB")))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_color_png_of_16_bits_is_not_cut_to_its_upper_8(tmp_path, channels):
    for number in range(2):
        write_png16(tmp_path / f"{number}.png", values(SIZE, SIZE, channels, top=255, seed=number))
    data = load(tmp_path)
    colors = values(SIZE, SIZE, channels, top=255)[..., : 1 if channels == 2 else 3]
    assert data.value_range == pytest.approx((0, 255), abs=5)
    same(data.train.image(0), colors, data.value_range)


def test_a_range_can_be_given_for_files_of_any_depth(tmp_path):
    root = tiffs(tmp_path / "set", lambda seed: values(SIZE, SIZE, top=6000, seed=seed))
    data = load(root, value_range=[0, 3000])
    image = torch.from_numpy(values(SIZE, SIZE, top=6000).astype(np.int32))
    assert (data.train.image(0)[0][image >= 3000] == 255).all()
    assert data.value_range == (0, 3000)
    for number in range(2):
        save(
            Image.fromarray(values(SIZE, SIZE, top=1, seed=number, kind=np.uint8)), tmp_path / "ones" / f"{number}.png"
        )
    assert load(tmp_path / "ones", value_range=[0, 1]).train.stack().unique().tolist() == [0, 255]


def test_files_of_8_bits_are_as_they_were_and_have_no_range(tmp_path):
    picture = noise(SIZE, SIZE)
    save(picture, tmp_path / "a.png")
    data = load(tmp_path)
    assert data.value_range is None
    assert np.array_equal(data.train.image(0).permute(1, 2, 0).numpy(), np.array(picture))


def test_whole_numbers_beside_shares_have_no_range_in_common(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values(SIZE, SIZE, top=4000))
    tifffile.imwrite(tmp_path / "b.tif", values(SIZE, SIZE, top=1.0, kind=np.float32))
    with pytest.raises(UserError, match=r"b\.tif.*a\.tif.*convert one kind"):
        load(tmp_path)


def test_numbers_that_are_none_are_black(tmp_path):
    picture = values(SIZE, SIZE, top=1.0, kind=np.float32)
    picture[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", picture)
    data = load(tmp_path)
    assert data.value_range == (0, 1)
    assert data.train.image(0)[0, 3, 3] == 0


def test_complex_numbers_are_refused_as_such(tmp_path):
    with pytest.raises(UserError, match=r"0\.tif' holds complex numbers; save their magnitude"):
        load(tiffs(tmp_path / "set", lambda seed: values(SIZE, SIZE, top=9, seed=seed, kind=np.complex64)))


@pytest.mark.parametrize(("missing", "top", "kind"), [(-9999, 1, np.float32), (-32768, 3000, np.int16)])
def test_values_that_missing_pixels_push_together_are_said(tmp_path, missing, top, kind):
    def with_holes(seed):
        picture = values(SIZE, SIZE, top=top, seed=seed, kind=kind)
        picture[:4] = missing  # as maps have it where they know nothing
        return picture

    root = tiffs(tmp_path / "set", with_holes)
    cause = rf"Hardly any values.*{missing} became black and {top} white.*data\.value_range"
    with pytest.warns(UserWarning, match=cause) as said:
        load(root)
    assert len(said) == 1
    assert len(load(root, value_range=[0, top]).train.image(0).unique()) > 100


def test_further_pages_of_colors_are_left_out_with_a_word(tmp_path):
    pages = values(2, SIZE, SIZE, 3, top=255, kind=np.uint8)
    tifffile.imwrite(tmp_path / "0.tif", pages, photometric="rgb")
    with pytest.warns(UserWarning, match=r"1 of 1 files have further pages or frames, which are left out.*0\.tif"):
        found = load(tmp_path)
    assert found.train.image(0).permute(1, 2, 0).numpy().tolist() == pages[0].tolist()


def test_a_range_of_deep_files_is_not_for_those_of_8_bits_among_them(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values(SIZE, SIZE, top=100))
    tifffile.imwrite(tmp_path / "b.tif", values(SIZE, SIZE, top=255, kind=np.uint8))
    measured = load(tmp_path)
    assert measured.value_range == (0, 100)
    given = load(tmp_path, value_range=list(measured.value_range))  # as a resumed run has it
    assert given.train.stack().equal(measured.train.stack())


def test_the_ranges_of_another_set_are_for_the_same_kind_of_numbers(tmp_path):
    root = tiffs(tmp_path / "set", lambda seed: values(SIZE, SIZE, top=500, seed=seed))
    assert load(root, value_range={"whole numbers": [0, 1000]}).value_range == (0, 1000)
    assert load(root, value_range={"numbers with a point": [0, 1]}).value_range == (0, 500)
    assert load(root).reading["value_range"] == {"whole numbers": (0, 500)}


@pytest.mark.parametrize("made", ["zeros and ones", "an outlier", "an empty band"])
def test_images_with_nothing_to_see_are_said_once_with_the_likely_cause(tmp_path, made):
    for number in range(3):
        picture = {
            "zeros and ones": values(SIZE, SIZE, 3, top=1, seed=number, kind=np.uint8),
            "an outlier": values(SIZE, SIZE, 3, top=90, seed=number),
            "an empty band": values(SIZE, SIZE, 3, top=255, seed=number, kind=np.uint8),
        }[made]
        if made == "an outlier":
            picture[0, 0] = 65535
        if made == "an empty band":
            picture[..., 1] = 7
        tifffile.imwrite(tmp_path / f"{number}.tif", picture, photometric="rgb")
    cause = r"Channel 2 of 3.*data\.bands" if made == "an empty band" else r"3 of 3 images.*data\.value_range"
    with pytest.warns(UserWarning, match=cause) as said:
        load(tmp_path)
    assert len(said) == 1


def test_files_of_fewer_bits_than_others_of_the_set_are_said(tmp_path):
    for number, top in enumerate((65535, 65535, 4095)):
        tifffile.imwrite(tmp_path / f"{number}.tif", values(SIZE, SIZE, top=top, seed=number))
    with pytest.warns(UserWarning, match=r"1 of 3 images are nearly black.*0 became black.*12 and 16 bits") as said:
        load(tmp_path)
    assert len(said) == 1


BANDS = {
    "color and infrared": (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
    "color and infrared called alpha": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "thirteen": (13, {"photometric": "minisblack", "planarconfig": "contig"}),
}


@pytest.mark.parametrize(("count", "options"), BANDS.values(), ids=BANDS)
def test_bands_are_chosen_by_a_key(tmp_path, caplog, count, options):
    root = tiffs(tmp_path / "set", lambda seed: values(SIZE, SIZE, count, top=3000, seed=seed), **options)
    data = load(root, bands=[4, 2, 1])
    picture = values(SIZE, SIZE, count, top=3000)[..., [3, 1, 0]]
    same(data.train.image(0), picture, data.value_range)
    assert data.bands == (4, 2, 1)
    (gray, *others) = load(root, bands=[2]).train.image(0)
    assert all(torch.equal(gray, other) for other in others)
    with pytest.raises(UserError, match=r"data\.bands=\[14\].*0\.tif"):
        load(root, bands=[14])
    assert not caplog.records  # Pillow logs each file of thirteen bands as an error


@pytest.mark.parametrize("count", [2, 4, 5, 13])
@pytest.mark.parametrize("planes", ["contig", "separate", "pages"])
def test_bands_are_never_dropped_unsaid(tmp_path, count, planes):
    shape = (SIZE, SIZE, count) if planes == "contig" else (count, SIZE, SIZE)
    options = {} if planes == "pages" else {"planarconfig": planes}
    kind = np.uint8 if count == 5 else np.uint16
    root = tiffs(tmp_path / "set", lambda _: values(*shape, top=250, kind=kind), 1, photometric="minisblack", **options)
    with pytest.raises(UserError, match=rf"0\.tif' has {count}; choose.*data\.bands.*data\.channels=keep"):
        load(root)
    assert load(root, bands=[2, 2, 1]).train.image(0).shape == (3, SIZE, SIZE)
    kept = load(root, channels="keep")
    assert kept.train.stack().shape == (1, count, SIZE, SIZE)
    assert (kept.train.channels, len(kept.mean), len(kept.std)) == (count, count, count)


def test_a_missing_library_is_named_and_the_file_is_not_called_broken(tmp_path, monkeypatch):
    root = tiffs(tmp_path / "set", lambda _: values(SIZE, SIZE, 5, top=9), 1, photometric="minisblack")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    for on_error in ("raise", "skip"):
        with pytest.raises(UserError, match=r"0\.tif.*amask-solo\[tiff\]") as said:
            load(root, on_error=on_error, bands=[1])
        assert "repair" not in str(said.value)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("1", 1)])
def test_as_many_channels_stay_as_the_files_have(tmp_path, mode, channels):
    save(noise(SIZE, SIZE).convert(mode), tmp_path / "a.png")
    data = load(tmp_path, channels="keep")
    assert data.train.stack().shape == (1, channels, SIZE, SIZE)


def test_gray_files_among_colors_are_named_before_the_training(tmp_path):
    save(noise(SIZE, SIZE), tmp_path / "a.png")
    save(noise(SIZE, SIZE).convert("L"), tmp_path / "b.png")
    with pytest.raises(UserError, match=r"Expected 3 band\(s\) in every image.*b\.png' has 1"):
        load(tmp_path, channels="keep")


def test_files_of_other_bands_than_the_rest_are_named(tmp_path):
    save(noise(SIZE, SIZE, channels=1), tmp_path / "a.png")
    save(noise(SIZE, SIZE), tmp_path / "b.png")
    with pytest.raises(UserError, match=r"Expected 1 band.*b\.png.*3"):
        load(tmp_path, channels="keep").train.stack()


def test_what_needs_colors_is_refused_by_its_names():
    node = {"color_jitter": {"prob": 0.8, "brightness": 0.4, "hue": 0.1}, "grayscale": {"prob": 0.2}}
    node |= {"crop_size": 8, "num_crops": 1}
    with pytest.raises(UserError, match=r"4 channel.*augmentations\.0\.color_jitter\.hue, augmentations\.0\.grayscale"):
        read_recipes([node], channels=4)
    assert read_recipes([node | {"color_jitter": {"prob": 0.8, "contrast": 0.4}, "grayscale": {}}], channels=4)


@pytest.mark.parametrize(
    "wrong",
    [{"bands": [0, 1, 2]}, {"bands": [1, 2]}, {"bands": []}, {"channels": "all"}, {"value_range": [3, 1]},
     {"value_range": "full"}, {"value_range": [1]}],
)  # fmt: skip
def test_wrong_ways_of_reading_are_refused(tmp_path, wrong):
    save(noise(SIZE, SIZE), tmp_path / "a.png")
    with pytest.raises(Exception, match=r"Expected|violates|type"):
        load(tmp_path, **wrong)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "jp2", "tga", "pbm", "JPG", "Tif"])
def test_every_ending_that_pillow_reads_counts(tmp_path, suffix):
    save(noise(SIZE, SIZE), tmp_path / "a.png")
    kinds = {"pbm": "PPM", "jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG"}
    save(noise(SIZE, SIZE), tmp_path / f"b.{suffix}", format=kinds.get(suffix))
    assert len(load(tmp_path).train) == 2


def test_what_is_left_out_is_counted_and_named(tmp_path):
    save(noise(SIZE, SIZE), tmp_path / "a.png")
    for name in ("b.heic", "c.heic", "d.npy", "labels.csv", ".hidden.npy"):
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"Left out 3 of 4 files below data\.train_path.*2 \.heic, 1 \.npy\."):
        load(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"found none, only files that Pillow does not read \(2 \.heic, 1 \.npy\)"):
        load(tmp_path)


@pytest.mark.parametrize("depth", ["outer", "outer/inner"])
def test_class_folders_further_down_are_found_and_said(tmp_path, depth):
    labeled_tree(tmp_path / depth, classes={"a": 2, "b": 2}, size=SIZE)
    with pytest.warns(UserWarning, match=rf"one level down, in '{tmp_path / depth}'.*\(a, b\)"):
        data = load(tmp_path, val_fraction=0.0)
    assert (data.class_names, data.train.labels.tolist()) == (["a", "b"], [0, 0, 1, 1])


@pytest.mark.parametrize("inside", ["val", "outer/train"])
def test_a_folder_that_holds_one_split_alone_is_not_taken_for_the_set(tmp_path, inside):
    labeled_tree(tmp_path / inside, classes={"a": 2, "b": 2}, size=SIZE)
    with pytest.raises(
        UserError, match=rf"the split {inside[-5:].strip('/')} alone; set data\.train_path={tmp_path / inside}"
    ):
        load(tmp_path)


@pytest.mark.parametrize("classes", [{"b": 2}, {"a": 1, "c": 1}])
def test_validation_images_may_have_some_of_the_classes(tmp_path, classes):
    train = labeled_tree(tmp_path / "train", classes={"a": 2, "b": 2, "c": 2}, size=SIZE)
    val = labeled_tree(tmp_path / "val", classes=classes, size=SIZE)
    data = load(train, val_path=str(val))
    assert data.val.labels.tolist() == ["abc".index(name) for name, count in classes.items() for _ in range(count)]


def voc(root, *, mode="P"):
    """Write images and masks as Pascal VOC has them: a class of index 15, and a border that is void."""
    index = np.zeros((SIZE, SIZE), dtype=np.uint8)
    index[2:12, 2:12], index[4:10, 4:10] = 255, 15
    mask = Image.fromarray(index)
    if mode == "P":
        colors = np.zeros((256, 3), dtype=np.uint8)
        colors[15], colors[255] = (192, 128, 128), (224, 224, 192)
        mask.putpalette(colors.flatten().tolist())
    for number in range(4):
        save(noise(SIZE, SIZE, seed=number), root / "images" / f"{number}.jpg")
        save(mask.convert("RGB") if mode == "RGB" else mask, root / "masks" / f"{number}.png")
    return {
        "images_path": str(root / "images"),
        "masks_path": str(root / "masks"),
        "image_size": SIZE,
        "val_fraction": 0.5,
    }, index


def test_indexed_masks_are_classes_and_255_is_void(tmp_path):
    folders, index = voc(tmp_path)
    data = load_image_masks(**folders)
    assert torch.equal(data.train.masks[0, 0], torch.from_numpy(index == 15))
    assert torch.equal(data.val.void[0, 0], torch.from_numpy(index == 255))
    assert data.object_share == pytest.approx(36 / (256 - 64))


@pytest.mark.parametrize(("kind", "void"), [(np.uint8, 255), (np.uint16, 255), (np.uint16, 65535), (np.int16, -1)])
def test_indexes_of_any_depth_have_a_void(tmp_path, kind, void):
    folders, index = voc(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
        tifffile.imwrite(file.with_suffix(".tif"), np.where(index == 255, np.array(void, kind), index.astype(kind)))
    data = load_image_masks(**folders, mask_values="index")
    assert torch.equal(data.train.masks[0, 0], torch.from_numpy(index == 15))
    assert torch.equal(data.train.void[0, 0], torch.from_numpy(index == 255))


@pytest.mark.parametrize("top", [1, 255])
def test_masks_of_numbers_with_a_point_are_shares_or_levels(tmp_path, top):
    folders, index = voc(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
        tifffile.imwrite(file.with_suffix(".tif"), np.where(index == 15, top, 0).astype(np.float32))
    assert torch.equal(load_image_masks(**folders).train.masks[0, 0], torch.from_numpy(index == 15))


def test_gray_masks_of_class_numbers_are_not_taken_for_brightness(tmp_path):
    folders, index = voc(tmp_path, mode="L")
    with pytest.raises(UserError, match=r"values 0 to 15, and 255.*data\.mask_values=index"):
        load_image_masks(**folders)
    data = load_image_masks(**folders, mask_values="index")
    assert torch.equal(data.train.masks[0, 0], torch.from_numpy(index == 15))
    bright = load_image_masks(**folders, mask_values="brightness").train
    assert torch.equal(bright.masks[0, 0], torch.from_numpy(index == 255))
    assert bright.void is None


def test_colored_masks_without_a_palette_are_refused(tmp_path):
    folders, _ = voc(tmp_path, mode="L")
    for file in (tmp_path / "masks").iterdir():
        save(Image.new("RGB", (SIZE, SIZE), (128, 0, 0)), file)
    with pytest.raises(UserError, match=r"gray or indexed mask.*has colors"):
        load_image_masks(**folders)


OTHERS = "as many images, but of other names, classes or order"


def test_the_fingerprint_says_what_changed(tmp_path):
    labeled_tree(tmp_path, classes={"a": 4, "b": 4}, size=SIZE)
    first, again = load(tmp_path).fingerprint, load(tmp_path).fingerprint
    assert first == again
    assert describe_change(first, again) is None
    (tmp_path / "a" / "000.png").rename(tmp_path / "a" / "new.png")
    assert describe_change(first, load(tmp_path).fingerprint) == OTHERS
    labeled_tree(tmp_path, classes={"wolf": 2}, size=SIZE)
    assert describe_change(first, load(tmp_path).fingerprint) == "8 -> 10 images; class wolf added"


def test_other_labels_of_the_same_files_are_another_set_but_not_for_runs_that_said_none(tmp_path):
    root = labeled_tree(tmp_path / "set", classes={"a": 4, "b": 4}, size=SIZE)
    said = []
    for turn in (0, 1):
        lines = (f"{file} {'ab'[(number + turn) % 2]}" for number, file in enumerate(sorted(root.rglob("*.png"))))
        (tmp_path / "set.txt").write_text("\n".join(lines))
        said.append(load_file_list(list=str(tmp_path / "set.txt"), val_fraction=0.0).fingerprint)
    assert describe_change(*said) == OTHERS
    older = {key: value for key, value in said[0].items() if key != "labels"}
    assert [describe_change(older, now) for now in said] == [None, None]


def test_marked_images_have_their_names_and_runs_that_said_their_labels_alone_go_on(tmp_path):
    labeled_tree(tmp_path, classes={"a": 4, "b": 4}, size=SIZE)
    marked = load_marked_folder(train_path=str(tmp_path), image_size=SIZE)
    plain = load_image_folder(train_path=str(tmp_path), image_size=SIZE).fingerprint
    assert marked.fingerprint == plain
    older = {**plain, "names": plain["labels"]}
    del older["labels"]
    assert describe_change(older, marked.fingerprint) is None
    (tmp_path / "a" / "000.png").rename(tmp_path / "a" / "new.png")
    now = load_marked_folder(train_path=str(tmp_path), image_size=SIZE).fingerprint
    assert describe_change(marked.fingerprint, now) == OTHERS


def mixed(root, deep):
    """Write a hundred gray files of 8 bits, but for those of 12 bits in 16."""
    root.mkdir()
    for number in range(100):
        top, kind = (4095, np.uint16) if number in deep else (255, np.uint8)
        Image.fromarray(values(SIZE, SIZE, top=top, seed=number, kind=kind)).save(root / f"{number:03}.png")
    return str(root)


def test_deep_files_are_measured_where_they_take_turns_with_others(tmp_path):
    data = load(mixed(tmp_path / "set", range(1, 100, 2)))
    assert data.value_range == (0, 4095)
    assert int(data.train.image(1).max()) == 255


def test_a_deep_file_that_no_sample_has_is_not_black(tmp_path):
    sampled = {*random_sample(100, MEASURED).tolist()}
    odd = next(number for number in range(100) if number not in sampled)
    with pytest.raises(UserError, match=rf"{odd:03}\.png' holds whole numbers, which have no range.*data\.value_range"):
        load(mixed(tmp_path / "set", [odd]))
