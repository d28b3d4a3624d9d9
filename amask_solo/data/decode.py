"""Image files of any kind to square uint8 tensors."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from amask_solo.data.opening import UnsupportedImageError, ignored_warnings, opened
from amask_solo.data.reading import USUAL, Pixels8, Reading
from amask_solo.data.values import is_inverted, is_plain, read_values, to_rgb
from amask_solo.errors import UserError

_PROGRESS_FROM = 5000  # files; fewer are read before a progress bar would help

T = TypeVar("T")


def decode_image(path: Path, *, size: int, reading: Reading = USUAL) -> UInt8[Tensor, "c s s"]:
    """Read an image, turn it upright, convert it to 8 bits of each channel and fit it into a square.

    The short side is resized to ``size`` and the center is cropped. An image that has the size is kept to the bit.

    Raises:
        UserError: If the file cannot be read to its end.
    """
    with ignored_warnings():
        return _decode(path, size=size, reading=reading)


def _decode(path: Path, *, size: int, reading: Reading) -> UInt8[Tensor, "c s s"]:
    with opened(path) as image:
        if image is not None and reading.is_usual and is_plain(image):
            # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target leaves the resize its quality.
            image.draft(None, (2 * size, 2 * size))
            square = np.array(ImageOps.fit(to_rgb(image), (size, size), Image.Resampling.BICUBIC))
        else:
            values = reading.select(read_values(path, image, alpha=reading.bands is not None), path)
            square = _fit(reading.to_bytes(values, path, inverted=is_inverted(path, image)), size)
    return torch.from_numpy(square).permute(2, 0, 1).contiguous()


def _fit(pixels: Pixels8, size: int) -> Pixels8:
    bands = (Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(pixels.shape[2]))
    return np.stack([np.asarray(ImageOps.fit(band, (size, size), Image.Resampling.BICUBIC)) for band in bands], axis=2)


def decode_all(paths: Sequence[Path], *, size: int, reading: Reading = USUAL) -> UInt8[Tensor, "n c s s"]:
    """Read many images in parallel, into one tensor.

    Raises:
        UserError: If a file cannot be read to its end.
    """
    images = torch.empty(len(paths), reading.channels or 3, size, size, dtype=torch.uint8)
    decoded = map_files(lambda path: _decode(path, size=size, reading=reading), paths, what="Reading images")
    for place, image in enumerate(decoded):
        images[place] = image
    return images


def readable(path: Path) -> bool:
    """Tell whether a file can be read to its end; quick, as JPEG is decoded at an eighth.

    Raises:
        UnsupportedImageError: If it is sound, but needs an option or a library.
    """
    try:
        with opened(path) as image:
            if image is not None and is_plain(image):
                image.draft(None, (16, 16))
                image.load()
            else:
                read_values(path, image, alpha=True)
    except UnsupportedImageError:
        raise
    except UserError:
        return False
    return True


def map_files(function: Callable[[Path], T], paths: Sequence[Path], *, what: str) -> Iterator[T]:
    """Apply a function to each file in threads (Pillow decodes without the GIL), in order.

    Many files show a progress bar.
    """
    workers = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ignored_warnings(), ThreadPoolExecutor(workers) as pool:
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
