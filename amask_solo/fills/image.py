"""Fills that keep a part of the image: coarse, fine, or some channels."""

from typing import Any

import torch
import torch.nn.functional as F

from amask_solo._types import Images
from amask_solo.blur import gaussian_blur
from amask_solo.fills.base import Fill


class Blur(Fill):
    """Show the image, strongly blurred: colors stay, shapes go.

    Args:
        kernel_size: Side of the kernel in pixels, an odd number of at least 1. In a small image it shrinks to an odd
            size that fits.
        sigma: Standard deviation in pixels, above 0. The defaults are those published for images of 224 pixels.

    Raises:
        ValueError: If the kernel is even or a size not positive.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024.
    """

    def __init__(self, kernel_size: int = 31, sigma: float = 10.0) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0 or not 0 < sigma < float("inf"):
            raise ValueError(f"Expected an odd kernel_size and a positive sigma, but got {kernel_size} and {sigma}.")
        self.kernel_size, self.sigma = kernel_size, sigma

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:  # noqa: ARG002
        """Return the blurred images."""
        height, width = (min(self.kernel_size, side - 1 + side % 2) for side in images.shape[-2:])
        sigmas = torch.full((len(images),), float(self.sigma), device=images.device)
        return gaussian_blur(images.float(), sigmas, (height, width), border="reflect").to(images.dtype)


class HighPass(Fill):
    """Show the image minus its blur: edges stay, colors go.

    As a fill it shows the edges of what is hidden. As the ``view_filter`` of a run it does what MSCN and Chin et al.
    do: all views are filtered whole, in training and in evaluation, and noise fills the mask.

    Args:
        kernel_size: As for :class:`Blur`.
        sigma: As for :class:`Blur`.

    Raises:
        ValueError: If the kernel is even or a size not positive.

    References:
        Chin et al.; see :class:`Blur`.
    """

    def __init__(self, kernel_size: int = 11, sigma: float = 5.0) -> None:
        super().__init__()
        self.blur = Blur(kernel_size, sigma)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:  # noqa: ARG002
        """Return the images without their coarse part."""
        return images - self.blur(images)


class ChannelWise(Fill):
    """Show other content in one color channel of each hidden patch, and the image in its other channels.

    The fill draws which channel of a patch is hidden: a third of the values that the mask covers. Ours. In the
    channel-wise masks of Chin et al. each channel has hidden patches of its own, as many as a mask of all channels:
    ``separate`` of :class:`~amask_solo.maskers.SaliencyMasker`.

    Args:
        fill: What the hidden channel shows.
        share: The share of images that lose single channels, in (0, 1]; the others have all channels hidden.
        grid: Rows and columns of patches, at least 1; best those of the masker.

    Raises:
        ValueError: If the share is not in (0, 1], or the grid has no row.
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
