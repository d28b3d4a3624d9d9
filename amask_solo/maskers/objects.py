"""Masks that show where the data say that objects are: the upper bound of ADIOS's paper."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import max_pool2d

from amask_solo._types import Images, Masks, OneMask
from amask_solo.errors import UserError
from amask_solo.maskers.base import Masker

Find = Callable[[Images], Sequence[OneMask]]
"""Returns, for views of the present batch one after another, where the objects of each view are: 1 inside."""


class ObjectMasker(Masker):
    """Hide the object of each image, and the rest of it in a second mask. It has nothing to train.

    The run lends it the masks of its data (:func:`lend_objects`), cropped and mirrored as the views are.

    Args:
        background: Whether there is a second mask, which hides all that the first one shows.
        shape: What of the object is hidden: ``exact``; ``eroded`` or ``dilated``, smaller or larger on each side; or
            ``box``, the smallest upright one around it.
        reach: By how much, as a share of the shorter side of a view, in (0, 1); at the edge of a view nothing is
            eroded. Theirs is a square of 10 of 64 pixels, about 5 on each side.
        shuffled: Whether each image hides the object of another one, some places on, drawn anew in each call.

    Raises:
        ValueError: If the shape is unknown or the reach is not in (0, 1).

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_, ICML 2022,
        after the authors' code, which has a mask for each of several objects, and one for the rest.
    """

    anywhere = False

    def __init__(
        self,
        *,
        background: bool = True,
        shape: Literal["exact", "eroded", "dilated", "box"] = "exact",
        reach: float = 5 / 64,
        shuffled: bool = False,
    ) -> None:
        super().__init__()
        if shape not in SHAPES:
            raise ValueError(f"Expected shape to be one of {', '.join(SHAPES)}, but got {shape!r}.")
        if not 0 < reach < 1:
            raise ValueError(f"Expected reach in (0, 1), but got {reach}; nothing is moved with shape=exact.")
        self.num_masks = 2 if background else 1
        self.shape, self.reach, self.shuffled = shape, reach, shuffled
        self.find: Find | None = None

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks of views of the present batch.

        Raises:
            UserError: If nobody has lent the masks of the data, or they are those of other images.
            ValueError: If a single image is to be shuffled.
        """
        if self.find is None:
            raise UserError(
                "masker=objects hides what the data mark, and only the training of amask-pretrain tells it where that "
                "is; it has no masks of other images."
            )
        found = self.find(images)
        if self.shuffled:
            found = _shuffled(found, generator=generator)
        objects = SHAPES[self.shape](torch.cat([*found]).to(images.dtype), round(self.reach * min(images.shape[-2:])))
        return torch.cat([objects, 1 - objects], dim=1)[:, : self.num_masks]


def _shuffled(found: Sequence[OneMask], *, generator: torch.Generator | None) -> list[OneMask]:
    """Return the objects of other images, the same other one in each view."""
    count, device = len(found[0]), found[0].device
    if count == 1:
        raise ValueError("Expected two images or more, so that shuffled objects are those of others.")
    by = torch.randint(1, count, (1,), generator=generator, device=device)
    others = (torch.arange(count, device=device) + by) % count
    return [objects[others] for objects in found]


def dilated(objects: OneMask, pixels: int) -> OneMask:
    """Return masks that are larger by some pixels on each side."""
    return max_pool2d(objects, 2 * pixels + 1, stride=1, padding=pixels)


def box(objects: OneMask, pixels: int = 0) -> OneMask:  # noqa: ARG001 - as the other shapes
    """Return the smallest upright boxes around masks of zeros and ones."""
    # A row is inside if there is a row of the object above it (or it is one), and below.
    rows, columns = (
        line.cummax(dim=-1).values * line.flip(-1).cummax(dim=-1).values.flip(-1)
        for line in (objects.amax(dim=-1), objects.amax(dim=-2))
    )
    return rows.unsqueeze(-1) * columns.unsqueeze(-2)


SHAPES: dict[str, Callable[[OneMask, int], OneMask]] = {
    "exact": lambda objects, _: objects,
    "eroded": lambda objects, pixels: 1 - dilated(1 - objects, pixels),
    "dilated": dilated,
    "box": box,
}
"""What is made of a mask of zeros and ones, by a number of pixels."""


def lend_objects(module: nn.Module, find: Find) -> bool:
    """Let every :class:`ObjectMasker` of a module find objects; return whether there is one."""
    askers = [part for part in module.modules() if isinstance(part, ObjectMasker)]
    for asker in askers:
        asker.find = find
    return bool(askers)
