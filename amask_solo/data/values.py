"""The values of image files, of any depth and any number of bands."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from amask_solo.data.depth import has_deep_color
from amask_solo.data.opening import OTHER_COLORS, UnsupportedImageError, opened, other_colors

Values = Shaped[np.ndarray, "_ _ _"]
"""What a file holds, upright, in its own type of number: height, width and bands."""

BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 274, 277, 338, 339  # tags of TIFF
WHITE_IS_ZERO, SEPARATED = 0, 5  # photometric interpretations; the second is CMYK
UNSIGNED = 1
ALPHA = (1, 2)
TRANSPOSED = range(5, 9)
"""Values of the orientation tag that exchange width and height."""


def is_plain(image: Image.Image | None) -> bool:
    """Tell whether Pillow's conversion to RGB keeps all of a file: 8 bits of gray or color, and perhaps alpha.

    Pillow cuts 16 bits of color to the upper 8, and bands beyond the third off.
    """
    if image is None or image.mode == "F" or image.mode.startswith("I"):
        return False
    if image.format != "TIFF":
        return not has_deep_color(image)
    tags: Any = getattr(image, "tag_v2", {})
    bands = tags.get(SAMPLES, 1) - sum(kind in ALPHA for kind in tags.get(EXTRA_SAMPLES, ()))
    colors = 4 if tags.get(PHOTOMETRIC) == SEPARATED else 3
    is_deep = max(tags.get(BITS, (1,))) > 8 or {*tags.get(SAMPLE_FORMAT, ())} - {UNSIGNED}
    return not is_deep and bands in (1, colors) and not (bands == 1 and image.mode != "P" and has_pages(image))


def has_pages(image: Any) -> bool:
    """Tell whether an open image has more than one page or frame; previews and layers of a photo are none."""
    return image.format not in ("MPO", "PSD") and getattr(image, "n_frames", 1) > 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a plain image upright and in RGB; gray has three equal channels, and alpha is ignored."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def is_gray(image: Image.Image) -> bool:
    """Tell whether a plain image has a single band beside alpha."""
    return image.mode in ("1", "L", "LA", "La")


def read_values(path: Path, image: Image.Image | None, *, alpha: bool) -> Values:
    """Return all that a file holds, which is given as :func:`opened` yields it too; alpha only if it is asked for.

    Raises:
        UnsupportedImageError: If a library is missing for it.
    """
    if image is not None and is_plain(image):
        mode = "L" if is_gray(image) else "RGB"
        mode = {"L": "LA", "RGB": "RGBA"}[mode] if alpha and image.mode in ("LA", "RGBA") else mode
        upright = ImageOps.exif_transpose(image)
        values = np.asarray(to_rgb(image) if mode == "RGB" else upright.convert(mode))
    elif image is None or (image.format == "TIFF" and _is_beyond_pillow(image)):
        values = _read_tiff(path, alpha=alpha)
    elif image.mode.startswith(("F", "I")):
        values = np.asarray(ImageOps.exif_transpose(image))
    else:
        values = _read_deep_color(path, alpha=alpha)
    if np.iscomplexobj(values):
        raise UnsupportedImageError(f"'{path}' holds complex numbers; save their magnitude or phase instead.")
    return values[..., None] if values.ndim == 2 else values


def is_inverted(path: Path, image: Image.Image | None) -> bool:
    """Tell whether the lowest of the values that :func:`read_values` returns is white, which a TIFF may say.

    Pillow itself inverts those that are plain.
    """
    if image is None:
        with _tifffile(path).TiffFile(path) as file:
            return file.pages[0].tags.valueof(PHOTOMETRIC) == WHITE_IS_ZERO
    tags: Any = getattr(image, "tag_v2", {})
    return not is_plain(image) and image.format == "TIFF" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _is_beyond_pillow(image: Any) -> bool:
    """Tell whether a TIFF that is not plain has more than one deep band, or 32 bits without sign."""
    tags = image.tag_v2
    is_unsigned = 32 in tags.get(BITS, ()) and UNSIGNED in tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    return image.mode[0] not in "FI" or tags.get(SAMPLES, 1) > 1 or has_pages(image) or is_unsigned


def _read_deep_color(path: Path, *, alpha: bool) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_image, read_file

    content = read_file(str(path))
    values = decode_image(content, ImageReadMode.UNCHANGED, apply_exif_orientation=True).permute(1, 2, 0).numpy()
    return values if alpha else values[..., : 1 if values.shape[2] <= 2 else 3]


def _tifffile(path: Path) -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UnsupportedImageError(
            f"'{path}' is a TIFF of a kind that Pillow does not read whole (many bands, pages, or more than 8 bits of "
            "color); install a reader with: pip install 'amask-solo[tiff]'."
        ) from error
    return tifffile


def _read_tiff(path: Path, *, alpha: bool) -> np.ndarray:
    """Read the first picture of a TIFF; pages of one band each and equal shape are its bands."""
    with _tifffile(path).TiffFile(path) as file:
        series, page = file.series[0], file.pages[0]
        if page.photometric in OTHER_COLORS:
            raise other_colors(path, OTHER_COLORS[page.photometric])
        try:
            values, axes = (series.asarray(), series.axes) if page.samplesperpixel == 1 else (page.asarray(), page.axes)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise UnsupportedImageError(
                f"'{path}' is compressed in a way that needs one more library; install it with: "
                "pip install 'amask-solo[tiff]'."
            ) from error
        left_out = 0 if alpha else sum(int(kind) in ALPHA for kind in page.extrasamples)
        orientation = page.tags.valueof(ORIENTATION)
    # Whatever is neither height nor width counts as bands.
    values = np.moveaxis(values, (axes.index("Y"), axes.index("X")), (0, 1)).reshape(
        values.shape[axes.index("Y")], values.shape[axes.index("X")], -1
    )
    return _upright(values[..., : values.shape[2] - left_out], orientation)


def _upright(values: Values, orientation: int | None) -> Values:
    if orientation in TRANSPOSED:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values[::-1] if orientation in (3, 4, 7, 8) else values


def shown_size(path: Path) -> tuple[int, int]:
    """Return the width and height at which a file is shown.

    Raises:
        UserError: If the file cannot be read.
    """
    with opened(path) as image:
        if image is None:
            with _tifffile(path).TiffFile(path) as file:
                page = file.pages[0]
                width, height = page.imagewidth, page.imagelength
                orientation = page.tags.valueof(ORIENTATION)
        else:
            (width, height), orientation = image.size, image.getexif().get(ORIENTATION)
            if image.format == "TIFF":
                return width, height  # Pillow has turned it
        return (height, width) if orientation in TRANSPOSED else (width, height)
