"""Fills that keep the coarse or the fine part of an image."""

import torch

from amask_solo._types import Images
from amask_solo.fills.base import Fill


def gaussian_blur(images: Images, kernel_size: int, sigma: float) -> Images:
    """Blur images by a Gaussian; the kernel shrinks to an odd size that fits into a small image.

    Args:
        images: Images of any height and width.
        kernel_size: Side of the kernel in pixels; odd.
        sigma: Standard deviation of the Gaussian in pixels.

    Returns:
        Images of the same shape and dtype.

    Example:
        >>> gaussian_blur(torch.ones(1, 3, 8, 8), 31, 10.0).mean()
        tensor(1.)
    """
    from kornia.filters import gaussian_blur2d  # not at the top: a refusal need not wait for it

    height, width = (min(kernel_size, side - 1 + side % 2) for side in images.shape[-2:])
    blurred = gaussian_blur2d(images.float(), (height, width), (sigma, sigma))
    return blurred.to(images.dtype)


def _check(kernel_size: int, sigma: float) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0 or sigma <= 0:
        raise ValueError(f"Expected an odd kernel_size and a positive sigma, but got {kernel_size} and {sigma}.")


class Blur(Fill):
    """Show the image, strongly blurred: colors stay, shapes go.

    Args:
        kernel_size: Side of the kernel in pixels; odd.
        sigma: Standard deviation in pixels. The defaults are those published for images of 224
            pixels.

    Raises:
        ValueError: If the kernel is even or a size not positive.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and
        Saliency Tells You Where <https://arxiv.org/abs/2309.12757>`_, WACV 2024.
    """

    def __init__(self, kernel_size: int = 31, sigma: float = 10.0) -> None:
        super().__init__()
        _check(kernel_size, sigma)
        self.kernel_size, self.sigma = kernel_size, sigma

    def forward(
        self,
        images: Images,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Images:
        """Return the blurred images."""
        return gaussian_blur(images, self.kernel_size, self.sigma)


class HighPass(Fill):
    """Show the image minus its blur: edges stay, colors go.

    As a fill it shows the edges of what is hidden. As the ``view_filter`` of a run it is what MSCN and Chin et al. do:
    all views are filtered whole, in training and in evaluation, and noise fills the mask.

    Args:
        kernel_size: Side of the kernel in pixels; odd.
        sigma: Standard deviation in pixels. The defaults are those published for images of 224
            pixels.

    Raises:
        ValueError: If the kernel is even or a size not positive.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and
        Saliency Tells You Where <https://arxiv.org/abs/2309.12757>`_, WACV 2024.
    """

    def __init__(self, kernel_size: int = 11, sigma: float = 5.0) -> None:
        super().__init__()
        _check(kernel_size, sigma)
        self.kernel_size, self.sigma = kernel_size, sigma

    def forward(
        self,
        images: Images,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Images:
        """Return the images without their coarse part."""
        return images - gaussian_blur(images, self.kernel_size, self.sigma)
