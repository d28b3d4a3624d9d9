"""Localisers that look at the image alone: what its spectrum does not expect, or all of it."""

import torch
import torch.nn.functional as F

from amask_solo._types import Images
from amask_solo.localisers.base import Localiser, Maps


class SpectralResidual(Localiser):
    r"""Keep the part of an image's spectrum that differs from its own average: no training and no data.

    With the logarithm :math:`L` of the amplitudes of the gray image, its mean :math:`\bar L` over 3 x 3 neighbors, and
    the phases :math:`P`, the map is :math:`|\mathcal F^{-1}[\exp(L - \bar L + i P)]|^2`, smoothed by a Gaussian. The
    image is shrunk first; its size decides the scale of what is found.

    Args:
        size: Height and width to shrink larger images to, at least 8; 64 px as published.
        sigma: Standard deviation of the Gaussian, in pixels of the shrunk image, above 0; ours.

    Raises:
        ValueError: If the size is below 8 pixels or the deviation not positive.

    References:
        Hou and Zhang, `Saliency Detection: A Spectral Residual Approach
        <https://doi.org/10.1109/CVPR.2007.383267>`_, CVPR 2007.
    """

    def __init__(self, size: int = 64, sigma: float = 2.5) -> None:
        super().__init__()
        if size < 8 or not 0 < sigma < float("inf"):
            raise ValueError(f"Expected size of 8 or more and sigma above 0, but got {size} and {sigma}.")
        self.size, self.sigma = size, sigma

    @torch.no_grad()
    def forward(self, images: Images) -> Maps:
        """Return the map of what stands out."""
        gray = images.float().mean(dim=1, keepdim=True)
        small = [min(self.size, side) for side in gray.shape[-2:]]
        gray = F.interpolate(gray, small, mode="bilinear", antialias=True)
        spectrum = torch.fft.fft2(gray)
        amplitude = spectrum.abs().clamp_min(1e-8)
        log = amplitude.log()
        around = F.avg_pool2d(F.pad(log, (1, 1, 1, 1), mode="circular"), 3, stride=1)
        found = torch.fft.ifft2(spectrum / amplitude * (log - around).exp()).abs().square()
        return _smooth(found, self.sigma)


def _smooth(maps: Maps, sigma: float) -> Maps:
    """Blur by the transfer function of a Gaussian: the edges of the image meet, as in the spectrum above."""
    down, right = (torch.fft.fftfreq(side, device=maps.device) for side in maps.shape[-2:])
    squared = down[:, None].square() + right.square()
    passed = (-2 * (torch.pi * sigma) ** 2 * squared).exp()
    return torch.fft.ifft2(torch.fft.fft2(maps) * passed).real


class Everywhere(Localiser):
    """Call the whole image foreground: masks made so are random, and equal to the others in all else. Ours."""

    def forward(self, images: Images) -> Maps:
        """Return a map of ones."""
        return torch.ones(len(images), 1, 1, 1, device=images.device)
