"""Image files of any kind to square uint8 RGB tensors."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from amask_solo.errors import UserError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
"""What counts as an image file, in lower case."""

_PROGRESS_FROM = 5000  # files; fewer are read before a progress bar would help

T = TypeVar("T")


def decode_image(path: Path, *, size: int) -> UInt8[Tensor, "3 s s"]:
    """Read an image, turn it upright, convert it to RGB and fit it into a square.

    The short side is resized to ``size`` and the center is cropped. An image that has the size is kept to the bit.

    Args:
        path: The file.
        size: Height and width of the result.

    Raises:
        UserError: If the file cannot be read to its end.
    """
    with _ignored_warnings():
        return _decode(path, size=size)


@contextmanager
def _ignored_warnings() -> Iterator[None]:
    """Pass over warnings about broken metadata: the pixels decide.

    Do not enter it inside a thread: Python keeps one list of filters for all threads, and two that overlap leave it
    changed for good.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode(path: Path, *, size: int) -> UInt8[Tensor, "3 s s"]:
    with _opened(path) as image:
        # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target leaves the resize its quality.
        image.draft(None, (2 * size, 2 * size))
        square = ImageOps.fit(_to_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def _decode_mask(path: Path, *, size: int) -> Bool[Tensor, "1 s s"]:
    """Tell which pixels the mask marks in more than half of their area; crop as :func:`decode_image`."""
    with _opened(path) as image:
        marked = _to_rgb(ImageOps.exif_transpose(image)).convert("L").point(lambda value: 255 * (value > 127))
        # A box averages over exactly the area of a pixel, and repeats pixels where it enlarges.
        square = ImageOps.fit(marked, (size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(square) > 127)[None]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error.
        raise UserError(
            f"Cannot read the image '{path}' ({error}); repair or remove it. "
            "data=image_folder can leave it out: data.on_error=skip."
        ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, which turns most of the image white.
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def decode_all(paths: Sequence[Path], *, size: int) -> UInt8[Tensor, "n 3 s s"]:
    """Read many images in parallel, into one tensor.

    Raises:
        UserError: If a file cannot be read to its end.
    """
    images = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    decoded = map_files(lambda path: _decode(path, size=size), paths, what="Reading images")
    for place, image in enumerate(decoded):
        images[place] = image
    return images


def decode_all_masks(paths: Sequence[Path], *, size: int) -> Bool[Tensor, "n 1 s s"]:
    """Read many object masks in parallel: True where a file is brighter than half.

    They are cropped as the images are, and a pixel is True if more than half of it is.

    Raises:
        UserError: If a file cannot be read to its end.
    """
    return torch.stack(list(map_files(lambda path: _decode_mask(path, size=size), paths, what="Reading masks")))


def readable(path: Path) -> bool:
    """Tell whether a file can be read to its end; quick, as JPEG is decoded at an eighth."""
    try:
        _decode(path, size=8)
    except UserError:
        return False
    return True


def map_files(function: Callable[[Path], T], paths: Sequence[Path], *, what: str) -> Iterator[T]:
    """Apply a function to each file in threads (Pillow decodes without the GIL), in order.

    Many files show a progress bar.
    """
    workers = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with _ignored_warnings(), ThreadPoolExecutor(workers) as pool:
        yield from track(
            _in_order(pool, function, paths, ahead=64 * workers),
            description=what,
            total=len(paths),
            disable=len(paths) < _PROGRESS_FROM,
            transient=True,
        )


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Path], T], paths: Sequence[Path], *, ahead: int
) -> Iterator[T]:
    """Map with few finished results waiting, where ``pool.map`` alone would hold them all."""
    rest = iter(paths)
    while batch := list(islice(rest, ahead)):
        yield from pool.map(function, batch)
