"""Lists of image files, from wherever they come, as a data set."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from amask_solo.data.assemble import assemble
from amask_solo.data.base import ImageData, ImageSet, Labels, Pixels
from amask_solo.data.contrast import warn_if_flat
from amask_solo.data.decode import decode_all, decode_image, map_files, readable
from amask_solo.data.hold_out import hold_out, refuse_shared
from amask_solo.data.reading import USUAL, Ranges, Reading, make_reading
from amask_solo.data.sizes import check_image_size, resolve_image_size, sampled_sizes
from amask_solo.data.subsets import Picks, balanced_subset
from amask_solo.errors import UserError


class Files(NamedTuple):
    """Image files and their classes.

    Attributes:
        files: In the order of the data set.
        labels: Their class numbers; -1 without a label.
        root: A folder around the files, below which they have their names.
    """

    files: list[Path]
    labels: Labels
    root: Path

    @classmethod
    def joined(cls, parts: Sequence["Files"]) -> "Files":
        """Return the files of several parts below the same folder, one after another."""
        return cls([file for part in parts for file in part.files], torch.cat([p.labels for p in parts]), parts[0].root)

    def select(self, picks: Picks) -> "Files":
        """Return some of the files, in the order of the picks."""
        return Files([self.files[pick] for pick in picks.tolist()], self.labels[picks], self.root)


class FolderImages(ImageSet):
    """Image files that are decoded when they are asked for.

    Args:
        files: The files.
        labels: Their class numbers.
        root: A folder around the files, below which they have their names.
        size: Height and width to decode them to.
        reading: What becomes of bands and values.
    """

    files: list[Path]

    def __init__(
        self, files: Sequence[Path], labels: Labels, root: Path = Path("/"), *, size: int, reading: Reading = USUAL
    ) -> None:
        self.files, self.labels, self.size = list(files), labels, size
        self.reading, self.root, self.channels = reading, root, reading.channels or 3

    @property
    def names(self) -> list[str]:  # type: ignore[override]
        """The paths of the files below their folder."""
        return [str(file).removeprefix(f"{self.root}/") for file in self.files]

    def image(self, index: int) -> UInt8[Tensor, "c s s"]:
        """Decode one image."""
        return decode_image(self.files[index], size=self.size, reading=self.reading)

    def stack(self) -> Pixels:
        """Decode all images, in parallel."""
        return decode_all(self.files, size=self.size, reading=self.reading)

    def select(self, picks: Picks) -> "FolderImages":
        """Return some of the images, in the order of the picks."""
        files, labels = [self.files[pick] for pick in picks.tolist()], self.labels[picks]
        return FolderImages(files, labels, self.root, size=self.size, reading=self.reading)


def load_files(
    parts: Mapping[str, Files],
    class_names: Sequence[str],
    /,
    *,
    name: str,
    image_size: int | Literal["auto"] = "auto",
    load_size: int | None = None,
    val_fraction: float = 0.1,
    max_images: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    seed: int = 0,
    value_range: Ranges | Sequence[int | float] | str | None = None,
    bands: Sequence[int] | None = None,
    channels: Literal["rgb", "keep"] | None = None,
    **settings: Any,
) -> ImageData:
    """Return a data set of files. Its settings are those of each loader that finds the files.

    Args:
        parts: The files of ``train`` and perhaps of ``val``.
        class_names: Names in the order of the class numbers; empty without labels.
        name: What the set is called in summaries.
        image_size: Height and width of the views, or ``auto``: the median of the shorter sides of the files, at most
            224; see :func:`~amask_solo.data.sizes.resolve_image_size`.
        load_size: Height and width of the stored images, from which random crops are cut. By default 8/7 of
            ``image_size``, the usual 256 for 224, or ``image_size`` where the files have it already.
        val_fraction: Without images to validate on, this share of each class is held out, in [0, 1), see
            :func:`~amask_solo.data.hold_out.hold_out`; 0, or no labels, holds out nothing.
        max_images: The most images to keep of each split, at least 1: a random subset with equal classes.
        on_error: What an unreadable file does. ``raise`` stops when it is read; ``skip`` reads every file once at the
            start, leaves out the bad ones and names them in one warning.
        seed: Of the subset and of the splits.
        value_range: The values of the files that are black and white; ``auto`` or ``None`` measures the lowest and the
            highest one over a sample of the training images, for files that are deeper than 8 bits. Ranges by the kind
            of numbers, as :attr:`ImageData.reading` has them, are for files of that kind, and others are measured.
        bands: Which bands of the files to take, from 1: three, or one for gray; any number with ``channels=keep``.
        channels: ``rgb``, or ``keep`` for as many channels as the files have, for a backbone that takes them.
        settings: Settings of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        UserError: If a file cannot be read, or all images to validate on are trained on.
        ValueError: If a setting is out of range.
    """
    check_image_size(image_size)
    if load_size is not None and load_size < 1:
        raise ValueError(f"Expected load_size to be at least 1, but got {load_size}.")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected on_error to be 'raise' or 'skip', but got {on_error!r}.")
    if "val" in parts:
        refuse_shared(parts["train"].files, parts["val"].files, parts["val"].root)
    if on_error == "skip":
        parts = {split: drop_unreadable(part) for split, part in parts.items()}
    if "val" not in parts and class_names:
        picks = hold_out(parts["train"].labels, val_fraction, seed=seed, files=parts["train"].files)
        parts = {split: parts["train"].select(part) for split, part in zip(("train", "val"), picks, strict=True)}
    # After the split: what a choice of fewer images holds out is a part of what all of them would hold out.
    kept = {split: choose(part, max_images, seed=seed) for split, part in parts.items()}
    files = kept["train"].files
    image_size = resolve_image_size(image_size, files)
    size = load_size or _guess_load_size(files, image_size)
    reading = make_reading(files, value_range=value_range, bands=bands, channels=channels)
    sets = {split: FolderImages(*part, size=size, reading=reading) for split, part in kept.items() if part.files}
    warn_if_flat(sets["train"], files, reading)
    given = (sets["train"], sets.get("val"), class_names, reading)
    return assemble(*given, name=name, image_size=image_size, seed=seed, **settings)


def choose(part: Files, max_images: int | None, *, seed: int) -> Files:
    """Return a random subset with equal classes."""
    return part.select(balanced_subset(part.labels, max_images, seed=seed))


def drop_unreadable(part: Files) -> Files:
    """Return the files that can be read, with a warning that names the others."""
    good = torch.tensor(list(map_files(readable, part.files, what="Checking images")))
    bad = [str(part.files[place]) for place in (~good).nonzero()[:, 0].tolist()]
    if not good.any():
        raise UserError(f"None of the {len(bad)} images below '{part.root}' can be read; check the files.")
    if bad:
        listed = ", ".join(bad[:10]) + (f" and {len(bad) - 10} more" if len(bad) > 10 else "")
        warnings.warn(f"Skipped {len(bad)} unreadable of {len(part.files)} images: {listed}.", stacklevel=4)
    return part.select(good.nonzero()[:, 0])


def _guess_load_size(files: Sequence[Path], image_size: int) -> int:
    """Return 8/7 of the image size, or the size itself if a sample of the files has it."""
    if all(size == (image_size, image_size) for size in sampled_sizes(files)):
        return image_size
    return round(image_size * 256 / 224)
