"""How the values of files become pixels: which bands, and which values are black and white."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from amask_solo.data.base import sampled
from amask_solo.data.opening import UnsupportedImageError, ignored_warnings, opened
from amask_solo.data.values import Values, has_pages, is_gray, is_plain, read_values
from amask_solo.errors import UserError

Range = tuple[float, float]
"""The values that become black and white."""

Ranges = Mapping[str, Sequence[int | float]]
"""A range by the kind of numbers."""

Pixels8 = UInt8[np.ndarray, "_ _ _"]
"""Height, width and channels."""

EIGHT, WHOLE, POINT = "8 bits", "whole numbers", "numbers with a point"
"""The kinds of numbers that files hold; those of the second are deeper than 8 bits."""

MEASURED = 64
"""How many files, random ones, are measured."""


@dataclass(frozen=True)
class Reading:
    """How the values of a file become 8 bits a channel.

    Attributes:
        value_range: The values that become black and white. Unless it is for all files, files of 8 bits have their own,
            0 and 255. ``None`` is the full range of a file's type of number.
        for_all: Whether the range was given and lies within 0 and 255, so that it is for files of 8 bits too.
        bands: The bands to take, counted from 1; ``None`` takes those that there are.
        channels: How many there have to be; ``None`` makes RGB of one or three.
        measured: Whether some files of a set have been measured, of which a deeper one without a range is none.
    """

    value_range: Range | None = None
    for_all: bool = False
    numbers: str = EIGHT
    bands: tuple[int, ...] | None = None
    channels: int | None = None
    measured: bool = False

    @property
    def is_usual(self) -> bool:
        """Whether plain files become RGB as Pillow makes it."""
        return self.bands is None and self.channels is None and not self.for_all

    def select(self, values: Values, path: Path) -> Values:
        """Return the bands to take; a single one three times if RGB is wanted.

        Raises:
            UnsupportedImageError: If there are too few bands, or it is open which to take.
        """
        found = values.shape[2]
        if self.bands is not None:
            if max(self.bands) > found:
                raise UnsupportedImageError(
                    f"data.bands={[*self.bands]} asks for more than the {found} bands of '{path}'."
                )
            values = values[..., [band - 1 for band in self.bands]]
        elif self.channels is None and found not in (1, 3):
            raise UnsupportedImageError(
                f"Expected images of one band or three, but '{path}' has {found}; choose three (or one) by "
                "data.bands=[1,2,3], or train on all of them with data.channels=keep."
            )
        if self.channels is None:
            return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
        if self.channels not in (0, values.shape[2]):
            raise UnsupportedImageError(_other_count(self.channels, path, values.shape[2]))
        return values

    def to_bytes(self, values: Values, path: Path, *, inverted: bool = False) -> Pixels8:
        """Return values on the scale from 0 to 255; what is beyond the range becomes black or white.

        If they are ``inverted``, the lowest value of the range is white, and the highest black.

        Raises:
            UserError: If values with a point have no range, or deep ones in a set of others.
        """
        if values.dtype == np.bool_:
            values = values * np.uint8(255)
        if values.dtype == np.uint8 and not self.for_all:
            return 255 - values if inverted else values
        whole = np.issubdtype(values.dtype, np.integer)
        if self.value_range is None and (self.measured or not whole):
            raise UserError(
                f"'{path}' holds {WHOLE if whole else POINT}, which have no range as yet: others hold none, or none "
                "that is finite; give data.value_range=[BLACK,WHITE], or leave it out."
            )
        black, white = self.value_range or _full(values)
        if inverted:
            black, white = white, black
        levels = (values.astype(np.float64) - black) * (255 / (white - black))
        return np.nan_to_num(levels, nan=0.0, posinf=255.0, neginf=0.0).round().clip(0, 255).astype(np.uint8)


USUAL = Reading()
"""RGB, of the full range of each file's type of number."""


def _other_count(count: int | None, path: Path, found: int) -> str:
    return (
        f"Expected {count} band(s) in every image, as in others of this set, but '{path}' has {found}; choose some by "
        "data.bands, or leave out data.channels=keep."
    )


def _full(values: Values) -> tuple[int, int]:
    # Pillow gives gray of 16 bits as 32 bits with sign in some formats.
    info = np.iinfo(np.uint16 if values.dtype == np.int32 and values.min() >= 0 else values.dtype)
    return int(info.min), int(info.max)


class _Found(NamedTuple):
    """What was found in a file: its lowest and highest value, its bands, and whether more pages or frames follow."""

    kind: str
    low: float
    high: float
    channels: int
    path: Path
    paged: bool = False


def make_reading(
    files: Sequence[Path],
    *,
    value_range: Ranges | Sequence[int | float] | str | None,
    bands: Sequence[int] | None,
    channels: str | None,
) -> Reading:
    """Return how to read a set of files; what is open is measured over a sample of them.

    Args:
        files: The training images.
        value_range: The values that become black and white, in files of 8 bits only if they lie within 0 and 255 and
            no file is deeper; ``auto`` or ``None`` measures those of files that are deeper than 8 bits. Ranges by the
            kind of numbers, as another set had them, are for files of that kind alone, and others are measured.
        bands: One band, or three, or any number with ``channels=keep``, counted from 1.
        channels: ``rgb`` or ``None`` for RGB; ``keep`` for as many as the files have.

    Raises:
        UserError: If files cannot be read alike.
        ValueError: If a setting is out of range.
    """
    given: Any = _check(value_range, bands, channels)
    keeps = channels == "keep"
    reading = Reading(bands=tuple(bands) if bands else None, channels=0 if keeps else None, measured=True)
    with ignored_warnings():
        found = [one for file in sampled(files, MEASURED) if (one := _survey(file, reading))]
    if paged := [one.path for one in found if one.paged]:
        warnings.warn(
            f"{len(paged)} of {len(found)} files have further pages or frames, which are left out, such as "
            f"'{paged[0]}'; save each as a file of its own.",
            stacklevel=3,
        )
    if keeps and found:
        reading = replace(reading, channels=found[0].channels)
    if keeps and (odd := next((one for one in found if one.channels != reading.channels), None)):
        raise UnsupportedImageError(_other_count(reading.channels, odd.path, odd.channels))
    deep = [one for one in found if one.kind != EIGHT]
    reading = replace(reading, numbers=deep[0].kind if deep else EIGHT)
    if isinstance(given, Mapping):
        given = given.get(reading.numbers)
    if given is not None:
        low, high = map(float, given)
        return replace(reading, value_range=(low, high), for_all=not deep and low >= 0 and high <= 255)
    deep = [one for one in deep if one.low <= one.high]
    return replace(reading, value_range=_measured(found, deep)) if deep else reading


def _measured(found: Sequence["_Found"], deep: Sequence["_Found"]) -> Range:
    with_point = [one for one in deep if one.kind == POINT]
    others = [one for one in found if one.kind != POINT]
    if with_point and others:
        raise UserError(
            f"'{with_point[0].path}' holds {POINT}, but '{others[0].path}' whole ones, so they have no range of values "
            "in common; convert one kind."
        )
    low, high = min(one.low for one in deep), max(one.high for one in deep)
    return low, high if high > low else low + 1


def describe_range(own: Range | None, numbers: str | None, trained: Ranges) -> str:
    """Return in a sentence which values, of a kind of numbers, became black and white; nothing where all is 8 bits.

    ``trained`` is the range of the training by the kind of its numbers; empty for 8 bits.

    Example:
        >>> describe_range((0.0, 3000.0), WHOLE, {WHOLE: (0.0, 3000.0)})
        'Values from 0 to 3000 became black to white, as in training.'
        >>> describe_range((0.0, 1.0), POINT, {WHOLE: (0.0, 3000.0)})
        'Values from 0 to 1 became black to white, the lowest and highest of these images, since they hold numbers ...'
    """
    kind = " and ".join(trained) or EIGHT
    if own is None:
        return f"Values of 8 bits were taken as they are; the range of the training is of {kind}." if trained else ""
    words = f"Values from {own[0]:g} to {own[1]:g} became black to white"
    if tuple(trained.get(numbers or "", ())) == tuple(own):
        return f"{words}, as in training."
    return (
        f"{words}, the lowest and highest of these images, since they hold {numbers}, and those of the training {kind}."
    )


def _check(value_range: Any, bands: Any, channels: Any) -> Ranges | Range | None:
    if channels not in (None, "rgb", "keep"):
        raise ValueError(f"Expected channels to be 'rgb' or 'keep', but got {channels!r}.")
    if bands is not None and (not bands or not all(type(band) is int and band >= 1 for band in bands)):
        raise ValueError(f"Expected bands as whole numbers from 1, as [3,2,1], but got {bands!r}.")
    if bands is not None and channels != "keep" and len(bands) not in (1, 3):
        raise ValueError(f"Expected one or three bands, but got {bands}; channels=keep takes any number.")
    if value_range in (None, "auto"):
        return None
    if isinstance(value_range, Mapping):
        return value_range
    if isinstance(value_range, str) or len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ValueError(f"Expected value_range as 'auto' or [BLACK, WHITE], rising, but got {value_range!r}.")
    return float(value_range[0]), float(value_range[1])


def _survey(path: Path, reading: Reading) -> _Found | None:
    """Return what a file holds; ``None`` if it is broken, which its decoding will say."""
    try:
        with opened(path) as image:
            if image is not None and is_plain(image) and not reading.bands:
                # Only headers are read.
                return _Found(EIGHT, 0, 255, 1 if is_gray(image) else 3, path, has_pages(image))
            every = read_values(path, image, alpha=reading.bands is not None)
    except UnsupportedImageError:
        raise
    except UserError:
        return None
    values = reading.select(every, path)
    if values.dtype in (np.uint8, np.bool_):
        return _Found(EIGHT, 0, 255, values.shape[2], path)
    finite = values[np.isfinite(values)] if np.issubdtype(values.dtype, np.floating) else values
    kind = WHOLE if np.issubdtype(values.dtype, np.integer) else POINT
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 0.0)
    return _Found(kind, low, high, values.shape[2], path)
