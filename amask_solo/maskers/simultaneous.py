"""All masks at once, from one look at the image."""

import torch

from amask_solo._types import Images, Masks
from amask_solo.maskers.base import Masker
from amask_solo.maskers.networks import NetworkFactory, UNet, check_resolution, enlarge, shrink
from amask_solo.projections import Projection, Softmax

_SHARED_OUT = Softmax()


class SimultaneousMasker(Masker):
    """Score all N masks in one pass; by default they share the image out between them, as in ADIOS.

    Args:
        num_masks: How many masks.
        network: Builds the network: the image's channels in, one map of scores a mask out.
        projection: Turns the scores of all masks into masks.
        resolution: The share of height and width that the network works at. The scores are enlarged before they are
            projected, so budgets hold at full size.

        channels: Of the images. A run fills in those of its data.

    Raises:
        ValueError: If there is no mask, or a single one that shares the image out, or the resolution is not in (0, 1].

    Example:
        >>> SimultaneousMasker()(torch.randn(2, 3, 32, 32)).sum(dim=1).allclose(torch.ones(()))
        True

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning
        <https://arxiv.org/abs/2201.13100>`_, ICML 2022; with a network of our own.
    """

    def __init__(
        self,
        num_masks: int = 4,
        *,
        network: NetworkFactory = UNet,
        projection: Projection = _SHARED_OUT,
        resolution: float = 0.5,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if num_masks < 1:
            raise ValueError(f"Expected num_masks of 1 or more, but got {num_masks}.")
        # The projection refuses a single mask if it shares the pixels out.
        projection(torch.zeros(1, num_masks, 1, 1), generator=torch.Generator())
        self.num_masks = num_masks
        self.resolution = check_resolution(resolution)
        self.projection = projection
        self.network = network(in_channels=channels, out_channels=num_masks)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks; only a projection may draw at random."""
        logits = enlarge(self.network(shrink(images, self.resolution)), images.shape[-2:])
        return self.projection(logits, generator=generator).to(images.dtype)
