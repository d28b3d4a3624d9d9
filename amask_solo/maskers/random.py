"""Masks that nobody learned: the control that every claim about learned masks needs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Images, Masks
from amask_solo.maskers.base import Masker

Stack = Float[Tensor, "count h w"]
"""Masks of many images, one after another."""


class Pattern(ABC):
    """Draw masks of a given area, each independently of the others."""

    @abstractmethod
    def __call__(
        self,
        area: float,
        shape: tuple[int, int, int],
        *,
        device: torch.device,
        generator: torch.Generator | None,
    ) -> Stack:
        """Return masks of zeros and ones.

        Args:
            area: The share of the image to hide, in (0, 1).
            shape: How many masks, their height and width.
            device: Where to make them.
            generator: Source of randomness on this device.
        """


class Block(Pattern):
    """Hide one rectangle of random shape and place, all of it inside the image.

    Sides are whole pixels: the hidden area is right to half a column of the rectangle.

    Args:
        aspect: Lowest and highest ratio of height to width; its logarithm is drawn uniformly. The
            ratio yields where a rectangle of the area would not fit into the image.

    Raises:
        ValueError: If the ratios are not positive and in order.
    """

    def __init__(self, aspect: Sequence[float] = (0.3, 1 / 0.3)) -> None:
        if len(aspect) != 2 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"Expected aspect as [low, high] with 0 < low <= high, but got {aspect}.")
        self.aspect = list(aspect)

    def __call__(
        self,
        area: float,
        shape: tuple[int, int, int],
        *,
        device: torch.device,
        generator: torch.Generator | None,
    ) -> Stack:
        """Return masks of one rectangle each."""
        count, height, width = shape
        draw, down, right = torch.rand(3, count, 1, device=device, generator=generator)
        low, high = (math.log(ratio) for ratio in self.aspect)
        pixels = area * height * width
        tall = (pixels * (low + (high - low) * draw).exp()).sqrt()
        tall = tall.clamp(-(-pixels // width), height).round().clamp_min(1)
        wide = (pixels / tall).round().clamp(1, width)
        rows = _interval(tall, height, down)
        columns = _interval(wide, width, right)
        return rows[:, :, None] * columns[:, None, :]


class Focal(Pattern):
    """Hide everything but a window as wide as high, as the focal masks of MSCN do.

    The hidden area is right to half a column of the window.

    References:
        Jing et al., `Masked Siamese ConvNets <https://arxiv.org/abs/2206.07700>`_, 2022; known to
        us only from what others wrote about it.
    """

    def __call__(
        self,
        area: float,
        shape: tuple[int, int, int],
        *,
        device: torch.device,
        generator: torch.Generator | None,
    ) -> Stack:
        """Return masks that spare one window each."""
        return 1 - Block((1.0, 1.0))(1 - area, shape, device=device, generator=generator)


class Grid(Pattern):
    """Hide random patches of a grid, always the same number of them.

    The hidden area is right to half a patch, if the patches fill the image.

    Args:
        patch: Side of a patch in pixels; at the right and lower edge, patches may be cut off.

    Raises:
        ValueError: If the patch is smaller than one pixel.
    """

    def __init__(self, patch: int = 8) -> None:
        if patch < 1:
            raise ValueError(f"Expected a patch of 1 pixel or more, but got {patch}.")
        self.patch = patch

    def __call__(
        self,
        area: float,
        shape: tuple[int, int, int],
        *,
        device: torch.device,
        generator: torch.Generator | None,
    ) -> Stack:
        """Return masks that hide the patches of lowest random rank."""
        count, height, width = shape
        rows, columns = -(-height // self.patch), -(-width // self.patch)
        draws = torch.rand(count, rows * columns, device=device, generator=generator)
        chosen = draws.argsort(dim=1).argsort(dim=1) < round(area * rows * columns)
        grid = chosen.float().unflatten(1, (rows, columns))
        pixels = grid.repeat_interleave(self.patch, dim=1).repeat_interleave(self.patch, dim=2)
        return pixels[:, :height, :width]


_BLOCK = Block()


class RandomMasker(Masker):
    """Hide a share of each image at random. It has no parameters: there is nothing to train.

    Args:
        pattern: What the masks look like.
        area: The share of the image that each mask hides, in (0, 1).
        num_masks: How many masks; they are independent and may overlap.

    Raises:
        ValueError: If the area is not in (0, 1) or there is no mask.

    Example:
        >>> masks = RandomMasker(area=0.5)(torch.zeros(2, 3, 8, 8), generator=torch.Generator())
        >>> masks.shape, sorted(masks.unique().tolist())
        (torch.Size([2, 1, 8, 8]), [0.0, 1.0])
    """

    def __init__(self, pattern: Pattern = _BLOCK, *, area: float = 0.25, num_masks: int = 1) -> None:
        super().__init__()
        if not 0 < area < 1 or num_masks < 1:
            raise ValueError(f"Expected area in (0, 1) and num_masks >= 1, but got {area} and {num_masks}.")
        self.pattern = pattern
        self.area = area
        self.num_masks = num_masks

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that do not depend on what the images show."""
        batch, _, height, width = images.shape
        shape = (batch * self.num_masks, height, width)
        masks = self.pattern(self.area, shape, device=images.device, generator=generator)
        return masks.unflatten(0, (batch, self.num_masks)).to(images.dtype)


def _interval(
    length: Float[Tensor, "count 1"], size: int, place: Float[Tensor, "count 1"]
) -> Float[Tensor, "count size"]:
    """Return ones on ``length`` pixels of ``size``, shifted by a random place in [0, 1)."""
    start = (place * (size - length + 1)).floor()
    pixel = torch.arange(size, device=length.device)
    return ((pixel >= start) & (pixel < start + length)).float()
