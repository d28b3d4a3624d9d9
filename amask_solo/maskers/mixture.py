"""Learned masks for some images, other masks for the rest."""

from typing import Any

import torch
from torch import Tensor

from amask_solo._types import Images, Masks, OneMask
from amask_solo.maskers.base import Masker


class MixtureMasker(Masker):
    """Take the masks of each image from one masker or another, by chance.

    So the encoder meets the hardest masks, but not only those. Several works found that masks which are always the
    hardest hurt what is learned (in HPM they fell behind random ones). The mixture for each image is ours.

    Args:
        masker: Makes the masks of the one part; it learns from the images that get its masks.
        other: Makes the masks of the other images, as :class:`~amask_solo.maskers.RandomMasker`; one of its masks is
            drawn in place of each of the first masker's.
        share: The probability that an image gets masks of the first, in (0, 1).

    Raises:
        ValueError: If the share is not in (0, 1), or the other masker hides channels by themselves.

    Example:
        >>> from amask_solo.maskers import RandomMasker
        >>> mixture = MixtureMasker(RandomMasker(area=0.5), RandomMasker(area=0.25), share=0.5)
        >>> mixture(torch.zeros(4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).mean(dim=(1, 2, 3))
        tensor([0.4688, 0.5000, 0.5000, 0.2500])

    References:
        Wang et al., `Hard Patches Mining for Masked Image Modeling <https://arxiv.org/abs/2304.05919>`_, CVPR 2023.
    """

    def __init__(self, masker: Masker, other: Masker, *, share: float = 0.5) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"Expected share to be in (0, 1), but got {share}; leave the mixture out for 0 or 1.")
        if other.channelwise:
            raise ValueError("Expected the other masker to hide all channels alike; make it the first one.")
        self.masker, self.other = masker, other
        self.share = share
        self.num_masks, self.channelwise = masker.num_masks, masker.channelwise

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return all N masks of one masker or the other for each image."""
        masks = self.masker(images, generator=generator)
        if self.channelwise:  # the other masker hides all channels alike
            return self._mixed(masks, self.other.draw_one(images, generator=generator).expand_as(masks), generator)
        others = torch.cat([self.other.draw_one(images, generator=generator) for _ in range(self.num_masks)], dim=1)
        return self._mixed(masks, others, generator)

    def draw_one(self, images: Images, *, generator: torch.Generator | None = None) -> OneMask:
        """Return one mask of one masker or the other for each image."""
        masks, others = (m.draw_one(images, generator=generator) for m in (self.masker, self.other))
        return self._mixed(masks, others, generator)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the first masker; which images get its masks is drawn outside."""
        self.masker.compile(*args, **kwargs)

    def _mixed(self, masks: Masks, others: Masks, generator: torch.Generator | None) -> Tensor:
        first = torch.rand(len(masks), generator=generator, device=masks.device) < self.share
        return torch.where(first[:, None, None, None], masks, others)
