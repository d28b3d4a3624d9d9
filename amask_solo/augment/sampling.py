"""Random parameters of augmentations: one for each image, from one generator."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Draws = Float[Tensor, " b"]
"""One number an image."""

_TRIES = 10
_RATIO = (3 / 4, 4 / 3)


class Boxes(NamedTuple):
    """Crop boxes in pixels: whole numbers, one of each for every image."""

    top: Draws
    left: Draws
    height: Draws
    width: Draws

    def of(self, rows: slice) -> "Boxes":
        """Return the boxes of some of the images."""
        return Boxes(*(drawn[rows] for drawn in self))


class Sampler:
    """Draw parameters for the ``count`` images of one batch, on the generator's device, and move them to another."""

    def __init__(self, count: int, *, generator: torch.Generator, device: torch.device) -> None:
        self.count = count
        self._generator = generator
        self._device = device

    def uniform(self, low: float, high: float, rows: int = 1) -> Float[Tensor, "rows b"]:
        """Return numbers from ``[low, high)``, one an image in every row."""
        return (low + (high - low) * self._unit(rows)).to(self._device, non_blocking=True)

    def chance(self, prob: float) -> Bool[Tensor, " b"]:
        """Return which images an operation of probability ``prob`` is for."""
        return (self._unit(1)[0] < prob).to(self._device, non_blocking=True)

    def _unit(self, rows: int) -> Float[Tensor, "rows b"]:
        """Return numbers from [0, 1) on the generator's device."""
        source = self._generator
        return torch.rand((rows, self.count), generator=source, device=source.device)

    def order(self, length: int) -> list[int]:
        """Return a random order for the batch.

        The host knows it without waiting for the device, since it follows from the state of the generator.
        """
        state = self._generator.get_state().numpy().tobytes()
        return random.Random(state).sample(range(length), length)

    def crop_boxes(self, height: int, width: int, scale: Sequence[float]) -> Boxes:
        """Return boxes as torchvision's ``RandomResizedCrop`` draws them.

        The area is uniform in ``scale``, in parts of the image's, and so is the logarithm of the aspect ratio between
        3/4 and 4/3. The first of ten tries that fits into the image is taken, or the largest central box of an allowed
        ratio if none fits. All tries of all images are drawn at once.
        """
        area = height * width * self.uniform(scale[0], scale[1], _TRIES)
        ratio = self.uniform(math.log(_RATIO[0]), math.log(_RATIO[1]), _TRIES).exp()
        high, wide = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()  # (tries, b)
        fits = (high > 0) & (high <= height) & (wide > 0) & (wide <= width)
        first, any_fits = fits.int().argmax(dim=0, keepdim=True), fits.any(dim=0)
        central_height, central_width = _central_box(height, width)
        height_of = torch.where(any_fits, high.gather(0, first)[0], central_height)
        width_of = torch.where(any_fits, wide.gather(0, first)[0], central_width)
        top = self._place(height - height_of, centered=~any_fits)
        left = self._place(width - width_of, centered=~any_fits)
        return Boxes(top, left, height_of, width_of)

    def _place(self, room: Draws, *, centered: Bool[Tensor, " b"]) -> Draws:
        anywhere = (self.uniform(0.0, 1.0)[0] * (room + 1)).floor().minimum(room)
        return torch.where(centered, (room / 2).floor(), anywhere)


def _central_box(height: int, width: int) -> tuple[int, int]:
    if width < height * _RATIO[0]:
        return round(width / _RATIO[0]), width
    if width > height * _RATIO[1]:
        return height, round(height * _RATIO[1])
    return height, width
