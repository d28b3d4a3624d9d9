"""Fills without structure."""

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
