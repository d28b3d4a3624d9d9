"""What masks look like that do not depend on the image."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Masks
from amask_solo.maskers.base import highest
from amask_solo.projections.base import whole_cells

Stack = Float[Tensor, "count h w"]
"""Masks of many images, one after another."""


@dataclass(frozen=True)
class Canvas:
    """How many masks to draw, and how.

    Attributes:
        count: Number of masks.
        size: Height and width of each mask, in pixels.
        device: Where the masks are made.
        generator: Source of randomness on this device; the global one by default.
    """

    count: int
    size: tuple[int, int]
    device: torch.device
    generator: torch.Generator | None = None

    def uniform(self, *shape: int) -> Tensor:
        """Return random numbers from [0, 1)."""
        return torch.rand(shape, device=self.device, generator=self.generator)


class Pattern(ABC):
    """Draw masks of a given area, each independently of the others."""

    @abstractmethod
    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of zeros and ones.

        Args:
            area: The share of the image to hide, in (0, 1).
            canvas: How many masks, of which size, on which device, with which randomness.

        Raises:
            UserError: If the share is nearest to none or all of what a mask is made of.
        """


class Block(Pattern):
    """Hide one rectangle of random shape and place, all of it inside the image.

    Sides are whole pixels: the hidden area is right to half a column of the rectangle.

    Args:
        aspect: Lowest and highest ratio of height to width, above 0; its logarithm is drawn uniformly. The ratio yields
            where a rectangle of the area would not fit into the image.

    Raises:
        ValueError: If the ratios are not positive and in order.
    """

    def __init__(self, aspect: Sequence[float] = (0.3, 1 / 0.3)) -> None:
        if len(aspect) != 2 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"Expected aspect as [low, high] with 0 < low <= high, but got {aspect}.")
        self.aspect = list(aspect)

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of one rectangle each."""
        whole_cells(area, math.prod(canvas.size))  # or a control might hide nothing in silence
        return self.rectangles(torch.full((canvas.count,), area, device=canvas.device), canvas)

    def rectangles(self, areas: Float[Tensor, " count"], canvas: Canvas) -> Stack:
        """Return a rectangle of each area in [0, 1]; none for less than half a pixel."""
        height, width = canvas.size
        draw, down, right = canvas.uniform(3, len(areas), 1)
        low, high = (math.log(ratio) for ratio in self.aspect)
        pixels = areas[:, None] * height * width
        tall = (pixels * (low + (high - low) * draw).exp()).sqrt()
        # At least as high as a rectangle of full width; rounding must not add a row to that.
        tall = tall.clamp_max(height).maximum((pixels / width - 1e-4).ceil()).round().clamp_min(1)
        wide = (pixels / tall).round().clamp(1, width) * (pixels >= 0.5)
        return _interval(tall, height, down)[:, :, None] * _interval(wide, width, right)[:, None, :]


class Focal(Pattern):
    """Hide everything but a window as wide as high, as the focal masks of MSCN do.

    The hidden area is right to half a column of the window.

    References:
        Jing et al., `Masked Siamese ConvNets <https://arxiv.org/abs/2206.07700>`_, 2022; known to us only from what
        others wrote about it.
    """

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks that spare one window each."""
        return 1 - Block((1.0, 1.0))(1 - area, canvas)


class Grid(Pattern):
    """Hide random patches of a grid, always the same number of them.

    The hidden area is right to half a patch, if the patches fill the image.

    Args:
        patch: Side of a patch in pixels, at least 1; at the right and lower edge, patches may be cut off.

    Raises:
        ValueError: If the patch is smaller than one pixel.
    """

    def __init__(self, patch: int = 8) -> None:
        if patch < 1:
            raise ValueError(f"Expected a patch of 1 pixel or more, but got {patch}.")
        self.patch = patch

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks that hide the patches of highest random numbers."""
        height, width = canvas.size
        rows, columns = -(-height // self.patch), -(-width // self.patch)
        grid = _share(canvas.uniform(canvas.count, rows * columns), area).unflatten(1, (rows, columns))
        pixels = grid.repeat_interleave(self.patch, dim=1).repeat_interleave(self.patch, dim=2)
        return pixels[:, :height, :width]


class Disk(Pattern):
    """Hide a disk around a random pixel; where it crosses the edge it is larger, so that the area is right."""

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of the pixels that are nearest to a random place."""
        down, right = canvas.uniform(2, canvas.count, 1)
        return _disks(area, canvas.size[0] * down - 0.5, canvas.size[1] * right - 0.5, canvas)


class Centered(Pattern):
    """Hide a disk in the middle, where photographs have their object: the same for all images. Nothing is drawn.

    The control for masks that learned no more than that.
    """

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of the pixels that are nearest to the center."""
        down, right = (torch.full((1, 1), (side - 1) / 2, device=canvas.device) for side in canvas.size)
        return _disks(area, down, right, canvas).expand(canvas.count, -1, -1)


class AnyOf(Pattern):
    """Draw one of several patterns for each mask, all equally likely.

    The control for learned masks that are better than one kind of random ones merely because they vary more. Ours.

    Args:
        patterns: What to draw from.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        if not patterns:
            raise ValueError("Expected at least one pattern to draw from, but got none.")
        self.patterns = list(patterns)

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of all the patterns, mixed."""
        # Each pattern draws for all, which is cheap, so that no number of masks has to be known on the host.
        drawn = [pattern(area, canvas) for pattern in self.patterns]
        kinds = torch.randint(len(drawn), (canvas.count,), device=canvas.device, generator=canvas.generator)
        return torch.stack(drawn)[kinds, torch.arange(canvas.count, device=canvas.device)]


class BandNoise(Pattern):
    r"""Hide where noise of one scale is high: scattered spots of alike size, at no cost and without data.

    White noise passes the difference of two Gaussians, whose transfer function at :math:`f` cycles a pixel is
    :math:`e^{-2 \pi^2 \sigma_1^2 f^2} - e^{-2 \pi^2 \sigma_2^2 f^2}`; the highest pixels are hidden.

    Args:
        sigmas: The smaller and the larger standard deviation, above 0, as shares of the shorter side of the image. The
            defaults are ours: spots of about an eighth of the image.

    Raises:
        ValueError: If the deviations are not positive and in order.

    References:
        Hinojosa et al., `ColorMAE: Exploring data-independent masking strategies in Masked AutoEncoders
        <https://arxiv.org/abs/2407.13036>`_, ECCV 2024; there for the patches of a masked autoencoder.
    """

    def __init__(self, sigmas: Sequence[float] = (1 / 32, 1 / 8)) -> None:
        if len(sigmas) != 2 or not 0 < sigmas[0] < sigmas[1]:
            raise ValueError(f"Expected sigmas as [low, high] with 0 < low < high, but got {sigmas}.")
        self.sigmas = list(sigmas)

    def __call__(self, area: float, canvas: Canvas) -> Stack:
        """Return masks of the pixels where the noise is highest."""
        size, device = canvas.size, canvas.device
        noise = torch.randn((canvas.count, *size), device=device, generator=canvas.generator)
        down, right = torch.fft.fftfreq(size[0], device=device), torch.fft.rfftfreq(size[1], device=device)
        squared = down[:, None].square() + right.square()
        low, high = ((-2 * (math.pi * share * min(size)) ** 2 * squared).exp() for share in self.sigmas)
        band = torch.fft.irfft2(torch.fft.rfft2(noise) * (low - high), s=size)
        return _share(band.flatten(1), area).unflatten(1, size)


def random_blocks(masks: Masks, *, generator: torch.Generator | None = None) -> Masks:
    """Return a random rectangle for each mask, as :class:`Block` makes them, of the area that this very mask hides.

    These are masks that hide as much, but do not know the image. A mask that hides less than half a pixel gets none.

    Example:
        >>> blocks = random_blocks(torch.full((1, 1, 8, 8), 0.25), generator=torch.Generator().manual_seed(0))
        >>> blocks.mean(), sorted(blocks.unique().tolist())
        (tensor(0.2500), [0.0, 1.0])
    """
    areas = masks.detach().float().mean(dim=(-2, -1)).clamp(0, 1).flatten()
    drawn = Block().rectangles(areas, Canvas(len(areas), (masks.shape[-2], masks.shape[-1]), masks.device, generator))
    return drawn.view(masks.shape).to(masks.dtype)


def _share(scores: Float[Tensor, "count n"], area: float) -> Float[Tensor, "count n"]:
    return highest(scores, whole_cells(area, scores.shape[1])).float()


def _disks(area: float, y: Float[Tensor, "count 1"], x: Float[Tensor, "count 1"], canvas: Canvas) -> Stack:
    """Return a disk around each place, given in pixels; see :class:`Disk`."""
    down, right = (torch.arange(side, device=canvas.device) - at for side, at in zip(canvas.size, (y, x), strict=True))
    distance = down.square()[:, :, None] + right.square()[:, None, :]
    return _share(-distance.flatten(1), area).unflatten(1, canvas.size)


def _interval(
    length: Float[Tensor, "count 1"], size: int, place: Float[Tensor, "count 1"]
) -> Float[Tensor, "count size"]:
    """Return ones on ``length`` pixels of ``size``, shifted by a random place in [0, 1)."""
    start = (place * (size - length + 1)).floor()
    pixel = torch.arange(size, device=length.device)
    return ((pixel >= start) & (pixel < start + length)).float()
