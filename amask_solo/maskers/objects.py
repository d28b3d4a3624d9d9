"""Masks that show where the data say that objects are: the upper bound of ADIOS's paper."""

from collections.abc import Callable

import torch
from torch import nn

from amask_solo._types import Images, Masks, OneMask
from amask_solo.errors import UserError
from amask_solo.maskers.base import Masker

Find = Callable[[Images], OneMask]
"""Returns where the objects of some views of the present batch are: 1 inside."""


class ObjectMasker(Masker):
    """Hide the object of each image, and the rest of it in a second mask. It has nothing to train.

    The run lends it the masks of its data (:func:`lend_objects`), cropped and mirrored as the views are.

    Args:
        background: Whether there is a second mask, which hides all but the object.

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_, ICML 2022,
        after the authors' code, which has a mask for each of several objects, and one for the rest.
    """

    def __init__(self, *, background: bool = True) -> None:
        super().__init__()
        self.num_masks = 2 if background else 1
        self.find: Find | None = None

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return the masks of views of the present batch.

        Raises:
            UserError: If nobody has lent the masks of the data, or they are those of other images.
        """
        if self.find is None:
            raise UserError(
                "masker=objects needs the masks of the images that it gets, which only the training of amask-pretrain "
                "with data that have some knows."
            )
        objects = self.find(images).to(images.dtype)
        return torch.cat([objects, 1 - objects], dim=1)[:, : self.num_masks]


def lend_objects(module: nn.Module, find: Find) -> bool:
    """Let every :class:`ObjectMasker` of a module find objects; return whether there is one."""
    askers = [part for part in module.modules() if isinstance(part, ObjectMasker)]
    for asker in askers:
        asker.find = find
    return bool(askers)
