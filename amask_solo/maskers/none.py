"""No masks, for hard views alone."""

import torch

from amask_solo._types import Images, Masks
from amask_solo.maskers.base import Masker


class NoMasks(Masker):
    """Hide nothing: with no hard views either, the method is the stock method."""

    num_masks = 1

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return one mask of zeros."""
        return images.new_zeros(len(images), 1, *images.shape[-2:])
