"""The textures of the procedural shapes: scalar fields that mix two colors."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Field = Float[Tensor, "n s s"]
"""How much of the second color each pixel shows, in [0, 1]."""

Numbers = Float[Tensor, " n"]
"""One number for each image, uniform in [0, 1)."""


@dataclass(frozen=True)
class _Draw:
    """Everything random about the textures of some images.

    Attributes:
        u: Coordinate along the texture, 1 for each image side.
        v: Coordinate across it.
        scale: Coarse or fine.
        sharpness: Soft or hard edges.
        noise: A grid of independent numbers for each image.
    """

    u: Field
    v: Field
    scale: Numbers
    sharpness: Numbers
    noise: Float[Tensor, "n g g"]

    def __getitem__(self, picks: Tensor) -> "_Draw":
        return _Draw(*(value[picks] for value in (self.u, self.v, self.scale, self.sharpness, self.noise)))

    @property
    def frequency(self) -> Float[Tensor, "n 1 1"]:
        """Angular frequency of two to seven periods for each image side."""
        return 2 * math.pi * (2 + 5 * self.scale)[:, None, None]

    def harden(self, wave: Field) -> Field:
        """Turn a wave in [-1, 1] into a field with soft or hard edges."""
        return torch.sigmoid(wave * (1.5 + 8 * self.sharpness)[:, None, None])


def _clouds(draw: _Draw) -> Field:
    """Sum two octaves of smooth noise; ``scale`` weighs the coarse one against the fine one."""
    size = draw.u.shape[-1]
    coarse, fine = (
        F.interpolate(draw.noise[:, None, :grid, :grid], size=size, mode="bicubic")[:, 0]
        for grid in (4, draw.noise.shape[-1])
    )
    weight = draw.scale[:, None, None]
    return (torch.lerp(coarse, fine, weight) * 2 - 0.5).clamp(0, 1)


FAMILIES: dict[str, Callable[[_Draw], Field]] = {
    "clouds": _clouds,
    "stripes": lambda draw: draw.harden(torch.sin(draw.frequency * draw.u)),
    "checkers": lambda draw: draw.harden(2 * torch.sin(draw.frequency * draw.u) * torch.sin(draw.frequency * draw.v)),
    "dots": lambda draw: draw.harden(torch.cos(draw.frequency * draw.u) + torch.cos(draw.frequency * draw.v) - 0.7),
    "gradient": lambda draw: (0.5 + draw.u * (0.4 + 0.6 * draw.scale)[:, None, None]).clamp(0, 1),
}

# The place of a family and the scale: textures that can be told apart in any direction and color.
KINDS = ((1, 0.1), (1, 0.8), (2, 0.1), (2, 0.8), (3, 0.1), (3, 0.8), (0, 0.2), (4, 0.4))
_SPREAD = 0.2  # of the scale within a kind


def draw_backgrounds(count: int, size: int, *, generator: torch.Generator) -> Field:
    """Draw one texture for each image, each of a family, direction, scale and sharpness of its own."""
    families = torch.randint(len(FAMILIES), (count,), generator=generator)
    return _draw(families, torch.rand(count, generator=generator), size, generator=generator)


def draw_surfaces(kinds: Int[Tensor, " n"], size: int, *, generator: torch.Generator) -> Field:
    """Draw the textures of objects; those of a kind, in [0, 8), differ in direction, place and sharpness."""
    families, scales = torch.tensor(KINDS)[kinds].unbind(dim=1)
    scales = scales + _SPREAD * torch.rand(len(kinds), generator=generator)
    return _draw(families.long(), scales, size, generator=generator)


def _draw(family: Int[Tensor, " n"], scale: Numbers, size: int, *, generator: torch.Generator) -> Field:
    count = len(family)
    angle, sharpness, shift_u, shift_v = torch.rand(4, count, generator=generator)
    noise = torch.rand(count, 11, 11, generator=generator)
    y, x = pixel_grid(size)
    cos, sin = (trig(2 * math.pi * angle)[:, None, None] for trig in (torch.cos, torch.sin))
    u = cos * x + sin * y + (shift_u - 0.5)[:, None, None] * 0.5
    v = cos * y - sin * x + (shift_v - 0.5)[:, None, None] * 0.5
    draw = _Draw(u, v, scale, sharpness, noise)
    field = torch.empty(count, size, size)
    for number, texture in enumerate(FAMILIES.values()):
        picks = (family == number).nonzero()[:, 0]
        field[picks] = texture(draw[picks])
    return field


def pixel_grid(size: int) -> tuple[Float[Tensor, "s s"], Float[Tensor, "s s"]]:
    """Return the vertical and the horizontal coordinate of each pixel's center, in (-0.5, 0.5)."""
    axis = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
