"""How large the images of a folder are, and so how large their views should be."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from amask_solo.data.base import sampled
from amask_solo.data.opening import ignored_warnings
from amask_solo.data.values import shown_size
from amask_solo.errors import UserError

AUTO_AT_MOST = 224
"""The size that ``auto`` never exceeds, that of ImageNet, for which architectures and recipes are made."""

_SAMPLE = 64
_STEP = 8


def check_image_size(image_size: object) -> None:
    """Check a size before anything is read.

    Raises:
        ValueError: If it is neither ``auto`` nor a whole number of at least 1.
    """
    if image_size != "auto" and (type(image_size) is not int or image_size < 1):
        raise ValueError(f"Expected image_size to be 'auto' or a whole number of at least 1, but got {image_size!r}.")


def resolve_image_size(image_size: int | Literal["auto"], files: Sequence[Path]) -> int:
    """Return the height and width of views; ``auto`` is measured, so that no image is enlarged without need.

    The result is the median of the shorter sides of a sample of the files, at most 224: a view is a square that fits
    into half of the images as they are, and a few odd ones do not matter. Unless all shorter sides are equal it is
    rounded to a multiple of 8, which strides of networks divide.

    Args:
        image_size: A size, which is returned as it is, or ``auto``.
        files: The images.
    """
    if image_size != "auto":
        return image_size
    shorter = [min(size) for size in sampled_sizes(files) if size]
    if not shorter:
        return AUTO_AT_MOST  # decoding the files will show what is wrong with them
    middle = round(median(shorter))
    rounded = middle if len(set(shorter)) == 1 else max(_STEP, _STEP * round(middle / _STEP))
    return min(rounded, AUTO_AT_MOST)


def sampled_sizes(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Return width and height of some files, random ones; ``None`` for one that cannot be read."""
    with ignored_warnings():
        return [_file_size(file) for file in sampled(files, _SAMPLE)]


def _file_size(file: Path) -> tuple[int, int] | None:
    try:
        return shown_size(file)
    except UserError:  # decoding the file will show what is wrong with it
        return None
