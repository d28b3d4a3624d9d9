"""A fill of single color channels."""

from typing import Any

import torch
import torch.nn.functional as F

from amask_solo._types import Images
from amask_solo.fills.base import Fill


class ChannelWise(Fill):
    """Show other content in one color channel of each hidden patch, and the image in its other channels.

    In the channel-wise masks of Chin et al. each channel has hidden patches of its own. A mask is the same for all
    channels here, so the fill draws which channel of a patch is hidden: a third of the colors that the mask covers.

    Args:
        fill: What the hidden channel shows.
        share: The share of images that lose single channels, in (0, 1]; the others have all channels hidden.
        grid: Rows and columns of patches; best those of the masker.

    Raises:
        ValueError: If the share is not in (0, 1], or the grid has no row.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024, after the released code: 70 % of the grids are channel-wise.
    """

    def __init__(self, fill: Fill, *, share: float = 0.7, grid: int = 7) -> None:
        super().__init__()
        if not 0 < share <= 1 or grid < 1:
            raise ValueError(f"Expected share in (0, 1] and grid of 1 or more, but got {share} and {grid}.")
        self.fill, self.share, self.grid = fill, share, grid

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:
        """Return the content in some channels, and the images in the others."""
        content = self.fill(images, generator=generator)
        batch, channels = images.shape[:2]
        options: dict[str, Any] = {"generator": generator, "device": images.device}
        draws = torch.rand(batch, channels, self.grid, self.grid, **options)
        hidden = draws == draws.amax(dim=1, keepdim=True)
        hidden |= torch.rand(batch, 1, 1, 1, **options) >= self.share
        cells = F.interpolate(hidden.float(), images.shape[-2:], mode="nearest").bool()
        return torch.where(cells, content, images)
