"""Masks that are not learned: the control that every claim about learned masks needs."""

import torch

from amask_solo._types import Images, Masks
from amask_solo.maskers.base import Masker
from amask_solo.maskers.patterns import Block, Canvas, Pattern

_BLOCK = Block()


class RandomMasker(Masker):
    """Hide a share of each image at random. It has no parameters: there is nothing to train.

    Args:
        pattern: What the masks look like.
        area: The share of the image that each mask hides, in (0, 1).
        num_masks: How many masks, at least 1; they are independent and may overlap.

    Raises:
        ValueError: If the area is not in (0, 1) or there is no mask.

    Example:
        >>> masks = RandomMasker(area=0.5)(torch.zeros(2, 3, 8, 8), generator=torch.Generator())
        >>> masks.shape, sorted(masks.unique().tolist())
        (torch.Size([2, 1, 8, 8]), [0.0, 1.0])
    """

    def __init__(self, pattern: Pattern = _BLOCK, *, area: float = 0.25, num_masks: int = 1) -> None:
        super().__init__()
        if not 0 < area < 1 or num_masks < 1:
            raise ValueError(f"Expected area in (0, 1) and num_masks >= 1, but got {area} and {num_masks}.")
        self.pattern, self.area, self.num_masks = pattern, area, num_masks

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that do not depend on what the images show."""
        batch, _, height, width = images.shape
        canvas = Canvas(batch * self.num_masks, (height, width), images.device, generator)
        masks = self.pattern(self.area, canvas)
        return masks.unflatten(0, (batch, self.num_masks)).to(images.dtype)


class NoMasks(Masker):
    """Hide nothing, for hard views alone: without these, the method is the stock method."""

    num_masks = 1

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return one mask of zeros."""
        return images.new_zeros(len(images), 1, *images.shape[-2:])
