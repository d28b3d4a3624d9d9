"""Files of object masks: gray ones by brightness, indexed ones by class."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image, ImageOps

from amask_solo.data.base import VOID, ObjectMasks, Segments
from amask_solo.data.decode import map_files
from amask_solo.data.opening import UnsupportedImageError, opened
from amask_solo.data.reading import USUAL
from amask_solo.data.values import is_inverted, is_plain, read_values, to_rgb
from amask_solo.errors import UserError

MaskValues = Literal["auto", "index", "brightness"]

VOIDS = (VOID, 65535, -1)
"""The indexes of void; the last two are for files of more than 8 bits."""

HALF = 127
COLORFUL = 16
"""Up to so many levels the channels of a gray picture may differ, after lossy compression."""

Where = Bool[np.ndarray, "_ _"]


class _Mask(NamedTuple):
    """Where the object is, where nobody can tell, and the levels of a gray file."""

    objects: Where
    void: Where
    levels: set[int]


def read_masks(paths: Sequence[Path], *, size: int, values: MaskValues) -> tuple[ObjectMasks, ObjectMasks | None]:
    """Return where the objects of many files are, and where nobody can tell, or None if that is nowhere.

    They are cropped as the images are, and a pixel counts if more than half of its area does. Of the ``values``,
    ``index`` takes each one above 0 for an object, but 255 (65535, -1) for void; ``brightness`` what is brighter than
    half; ``auto`` indexes of files with a palette of colors, and brightness of gray ones.

    Raises:
        UserError: If a file cannot be read, or it is open what its values mean.
        ValueError: If ``values`` is none of the three.
    """
    if values not in ("auto", "index", "brightness"):
        raise ValueError(f"Expected mask_values to be 'auto', 'index' or 'brightness', but got {values!r}.")
    read = list(map_files(partial(_read, size=size, values=values), paths, what="Reading masks"))
    levels = set().union(*(mask.levels for mask in read))
    dim = [level for level in levels if 0 < level <= HALF]
    if values == "auto" and dim and VOID in levels and not any(HALF < level < VOID for level in levels):
        raise UserError(
            f"The gray masks in '{paths[0].parent}' hold the values 0 to {max(dim)}, and {VOID}, which look like "
            "numbers of classes and void; give data.mask_values=index for that, or brightness if 255 is the object."
        )
    if values == "auto" and (lost := sum(max(mask.levels, default=0) in range(1, HALF + 1) for mask in read)):
        warnings.warn(
            f"{lost} of {len(read)} gray masks in '{paths[0].parent}' hold no value above {HALF}, and so no object; "
            "give data.mask_values=index if these are numbers of classes.",
            stacklevel=3,
        )
    objects, void, _ = zip(*read, strict=True)
    objects, void = (torch.from_numpy(np.stack(where))[:, None] for where in (objects, void))
    return objects & ~void, void if void.any() else None


def read_segments(paths: Sequence[Path], *, size: int) -> Segments:
    """Return the indexes of the pixels of files with a palette, cropped as the images are, each that of the nearest.

    Raises:
        UserError: If a file cannot be read.
    """

    def read(path: Path) -> np.ndarray:
        with opened(path) as image:
            if image is None or image.mode not in ("P", "L"):
                raise UnsupportedImageError(f"Expected a file of 8 bits with a class for each pixel, but got '{path}'.")
            indexes = Image.fromarray(np.asarray(image))
            return np.asarray(ImageOps.fit(indexes, (size, size), Image.Resampling.NEAREST))

    return torch.from_numpy(np.stack([*map_files(read, paths, what="Reading classes of pixels")]))[:, None]


def _read(path: Path, *, size: int, values: MaskValues) -> _Mask:
    with opened(path) as image:
        if image is None or not is_plain(image):
            every = USUAL.select(read_values(path, image, alpha=False), path)
            if np.issubdtype(every.dtype, np.floating):  # shares of white, or levels
                every = every * 255 if values != "index" and every.max() <= 1 else every
                every = np.nan_to_num(every, nan=-1).clip(-1, 65535).astype(np.int32)
            elif values != "index":
                every = USUAL.to_bytes(every, path, inverted=is_inverted(path, image))
            gray = every[..., 0]
            marks = _marks(gray, by_index=values == "index")
        elif values == "index" or (values == "auto" and _has_colored_palette(image)):
            upright = ImageOps.exif_transpose(image)
            marks = _marks(np.asarray(upright if upright.mode in ("P", "1") else upright.convert("L")), by_index=True)
        else:
            rgb = to_rgb(image)
            if values == "auto" and int(np.ptp(np.asarray(rgb), axis=2).max()) > COLORFUL:
                raise UnsupportedImageError(
                    f"Expected a gray or indexed mask, but '{path}' has colors; save it with a palette, or "
                    "data.mask_values=brightness takes what is brighter than half."
                )
            marks = _marks(np.asarray(rgb.convert("L")), by_index=False)
    return marks._replace(objects=_fit(marks.objects, size), void=_fit(marks.void, size))


def _marks(numbers: np.ndarray, *, by_index: bool) -> _Mask:
    numbers = numbers.astype(np.int64)
    if by_index:
        void = np.isin(numbers, VOIDS)
        return _Mask((numbers > 0) & ~void, void, set())
    return _Mask(numbers > HALF, np.zeros_like(numbers, dtype=bool), set(np.unique(numbers).tolist()))


def _has_colored_palette(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    palette = np.array(image.getpalette("RGB"), dtype=int).reshape(-1, 3)
    return int(np.ptp(palette, axis=1).max()) > COLORFUL


def _fit(marked: Where, size: int) -> Where:
    # A box averages over exactly the area of a pixel, and repeats pixels where it enlarges.
    return (
        np.asarray(ImageOps.fit(Image.fromarray(marked.astype(np.uint8) * 255), (size, size), Image.Resampling.BOX))
        > HALF
    )
