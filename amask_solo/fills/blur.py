"""Fills that keep the coarse or the fine part of an image."""

import torch

from amask_solo._types import Images
from amask_solo.blur import gaussian_blur
from amask_solo.fills.base import Fill


class Blur(Fill):
    """Show the image, strongly blurred: colors stay, shapes go.

    Args:
        kernel_size: Side of the kernel in pixels; odd. In a small image it shrinks to an odd size that fits.
        sigma: Standard deviation in pixels. The defaults are those published for images of 224 pixels.

    Raises:
        ValueError: If the kernel is even or a size not positive.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024.
    """

    def __init__(self, kernel_size: int = 31, sigma: float = 10.0) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0 or sigma <= 0:
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
