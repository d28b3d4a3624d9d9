"""No image to score on is trained on, whatever it is called and however often it is listed."""

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import torch

from amask_solo.data.base import Labels
from amask_solo.data.subsets import Picks, labeled_places, stratified_split
from amask_solo.errors import UserError


def hold_out(labels: Labels, fraction: float, *, seed: int, files: Sequence[Path] | None = None) -> tuple[Picks, Picks]:
    """Split images into those to train on and those that are held out, a share of each class.

    If any image has a label, those without one are trained on, since nothing can be scored on them. A file that is
    listed more than once, or that links lead to, is held out once and not trained on; a warning counts its other places
    in the list.

    Args:
        labels: The classes of the images.
        fraction: The share that is held out, in [0, 1).
        seed: Of the split.
        files: Where the images lie; None if they are in memory.

    Raises:
        ValueError: If ``fraction`` is outside [0, 1).

    Example:
        >>> labels = torch.tensor([0] * 4 + [-1] * 4)
        >>> rest, held_out = hold_out(labels, 0.25, seed=0)
        >>> labels[rest].tolist(), labels[held_out].tolist()
        ([0, 0, 0, -1, -1, -1, -1], [0])
    """
    labeled = labeled_places(labels)
    where = [*places(files)] if files and fraction else range(len(labels))
    first: dict[str | int, int] = {}
    for pick in (labeled if len(labeled) else torch.arange(len(labels))).tolist():
        first.setdefault(where[pick], pick)
    choice = torch.tensor([*first.values()])
    held_out = choice[stratified_split(labels[choice], fraction, seed=seed)[1]]
    known = {where[pick] for pick in held_out.tolist()}
    rest = [pick for pick, place in enumerate(where) if place not in known]
    if again := len(labels) - len(rest) - len(held_out):
        warnings.warn(
            f"{again} of {len(labels)} images are not trained on, since the same files are held out to score on: they "
            "are listed more than once, or links lead to them.",
            stacklevel=3,
        )
    if lost := {*labels[held_out].tolist()} - {*labels[rest].tolist()}:
        warnings.warn(
            f"{len(lost)} of the classes to score on have no other image that is trained on, so no image of theirs can "
            "be classified; add images, or hold out none of them.",
            stacklevel=3,
        )
    return torch.tensor(rest), held_out


def refuse_shared(train: Sequence[Path], val: Sequence[Path], root: Path) -> None:
    """Refuse to validate, below ``root``, on training images alone; one warning counts them if they are a part."""
    known = set(places(train))
    shared = sum(place in known for place in places(val))
    if shared and shared == len(val):
        raise UserError(
            f"Expected images to validate on that are not trained on, but all {shared} below '{root}' are; give other "
            "ones, or none to hold some out."
        )
    if shared:
        warnings.warn(
            f"{shared} of the {len(val)} images to validate on, below '{root}', are trained on too, so scores are too "
            "high; leave them out of one of the two.",
            stacklevel=4,
        )


def places(files: Sequence[Path]) -> Iterator[str]:
    """Yield where files lie, with links resolved; each folder is looked up once."""
    real = cache(os.path.realpath)
    for file in files:
        folder, name = os.path.split(file)
        place = f"{real(folder)}/{name}"
        yield os.path.realpath(place) if os.path.islink(place) else place
