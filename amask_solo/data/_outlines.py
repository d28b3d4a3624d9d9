"""The outlines of the procedural shapes, as signed distances."""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "n h w"]
"""One coordinate of each pixel, in a frame where the shape lies in the unit circle."""

Distance = Float[Tensor, "n h w"]
"""How far outside the outline a pixel is; negative inside. A lower bound near corners."""


def _box(x: Points, y: Points, width: float, height: float) -> Distance:
    return torch.maximum(x.abs() - width, y.abs() - height)


def _polygon(x: Points, y: Points, sides: int) -> Distance:
    sector = 2 * math.pi / sides
    angle = torch.remainder(torch.atan2(y, x), sector) - sector / 2
    return torch.hypot(x, y) * torch.cos(angle) - math.cos(math.pi / sides)


def _star(x: Points, y: Points, points: int = 5, inner: float = 0.42) -> Distance:
    """Fold the plane into half a point of the star, where the outline is one straight line."""
    half = math.pi / points
    angle = (torch.remainder(torch.atan2(y, x), 2 * half) - half).abs()
    radius = torch.hypot(x, y)
    # The tip lies at angle `half` and radius 1, the notch at angle 0 and radius `inner`.
    edge_x, edge_y = math.cos(half) - inner, math.sin(half)
    cross = edge_x * radius * torch.sin(angle) - edge_y * (radius * torch.cos(angle) - inner)
    return -cross / math.hypot(edge_x, edge_y)


OUTLINES: dict[str, Callable[[Points, Points], Distance]] = {
    "circle": lambda x, y: torch.hypot(x, y) - 0.85,
    "square": partial(_box, width=0.72, height=0.72),
    "triangle": partial(_polygon, sides=3),
    "star": _star,
    "ring": lambda x, y: (torch.hypot(x, y) - 0.68).abs() - 0.24,
    "cross": lambda x, y: torch.minimum(_box(x, y, 0.95, 0.28), _box(x, y, 0.28, 0.95)),
    "half_moon": lambda x, y: torch.maximum(torch.hypot(x, y) - 0.95, 0.85 - torch.hypot(x - 0.5, y)),
    "hexagon": partial(_polygon, sides=6),
}
"""The shapes that are easily told apart come first: a set with few classes takes the first few."""
