"""Fills without structure: zeros, the mean color, noise."""

import torch

from amask_solo._types import Images
from amask_solo.fills.base import Fill


class Zero(Fill):
    """Show zeros; on normalized pixels that is the channel mean of the data set, as in ADIOS."""

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:  # noqa: ARG002
        """Return zeros."""
        return torch.zeros_like(images)


class ImageMean(Fill):
    """Show the mean color of each image.

    References:
        Chin et al.; see :class:`~amask_solo.fills.Blur`.
    """

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:  # noqa: ARG002
        """Return images of one color each."""
        return images.mean(dim=(-2, -1), keepdim=True).expand_as(images)


class Noise(Fill):
    """Show Gaussian noise, drawn for each pixel and channel.

    Args:
        std: Standard deviation, above 0, on normalized pixels: 1 is as much as the data vary. Chin et al. use 0.18.

    Raises:
        ValueError: If ``std`` is not positive.

    References:
        Chin et al.; see :class:`~amask_solo.fills.Blur`.
    """

    def __init__(self, std: float = 1.0) -> None:
        super().__init__()
        if not 0 < std < float("inf"):
            raise ValueError(f"Expected std to be positive, but got {std}; Zero shows no noise.")
        self.std = std

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:
        """Return noise."""
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return (self.std * noise).to(images.dtype)
