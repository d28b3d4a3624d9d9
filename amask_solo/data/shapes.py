"""The default data: procedural pictures of one shape each, and where the shape is."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from kornia.color import hsv_to_rgb
from torch import Tensor

from amask_solo._random import stream
from amask_solo.data._outlines import OUTLINES
from amask_solo.data._textures import draw_backgrounds, draw_surfaces, pixel_grid
from amask_solo.data.assemble import assemble
from amask_solo.data.base import ArrayImages, ImageData, Labels, ObjectMasks, Pixels

# Images are drawn in groups of this size, each from a generator of its own: a larger set starts with the smaller one.
_GROUP = 256
_HUES = 0.3  # of the circle: how much the hues of a class differ; those of neighboring classes overlap

OBJECTS = True

Canvas = Float[Tensor, "n 3 s s"]
Coverage = Float[Tensor, "n 1 s s"]
Palette = Float[Tensor, "n 2 3"]


def make_shapes(
    *,
    num_train: int = 2000,
    num_val: int = 500,
    image_size: int = 32,
    num_classes: int = 8,
    seed: int = 0,
    **settings: Any,
) -> ImageData:
    """Draw images of one object each, on a textured background with clutter; ours.

    Objects of a class look alike, as those of photographs do: they share their outline and texture, and loosely their
    hue. Background, place, size, rotation and brightness say nothing about the class. So a network that learns to match
    views finds the classes within minutes, and the object is what a mask has to hide. Training and validation images
    come from different random streams.

    Args:
        num_train: How many training images, at least 1; classes differ by one image at most.
        num_val: How many validation images, at least 0; 0 makes no validation set.
        image_size: Height and width, at least 16.
        num_classes: How many kinds of shapes, from 2 to 8.
        seed: The same seed draws the same images, and splits them in the same way.
        settings: Settings of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        ValueError: If a number is out of range.
    """
    if not 2 <= num_classes <= len(OUTLINES):
        raise ValueError(f"Expected num_classes from 2 to {len(OUTLINES)}, but got {num_classes}.")
    if image_size < 16:
        raise ValueError(f"Expected image_size of at least 16, but got {image_size}; shapes blur away.")
    if num_train < 1 or num_val < 0:
        raise ValueError(f"Expected num_train >= 1 and num_val >= 0, but got {num_train} and {num_val}.")
    names = list(OUTLINES)[:num_classes]
    train = _draw_set("train", num_train, names=names, size=image_size, seed=seed)
    val = _draw_set("val", num_val, names=names, size=image_size, seed=seed) if num_val else None
    return assemble(train, val, names, name="shapes", image_size=image_size, seed=seed, **settings)


def _draw_set(split: str, count: int, *, names: Sequence[str], size: int, seed: int) -> ArrayImages:
    labels = torch.arange(count) % len(names)
    images = torch.empty(count, 3, size, size, dtype=torch.uint8)
    masks = torch.empty(count, 1, size, size, dtype=torch.bool)
    for number, start in enumerate(range(0, count, _GROUP)):
        generator = stream(f"shapes/{split}", seed=seed, rank=0, step=number, device="cpu")
        group = slice(start, min(start + _GROUP, count))
        # The last group is drawn in full and cut, so that its images do not depend on how many are wanted.
        group_labels = torch.arange(start, start + _GROUP) % len(names)
        pixels, where = _draw_group(group_labels, names=names, size=size, generator=generator)
        images[group], masks[group] = pixels[: group.stop - start], where[: group.stop - start]
    return ArrayImages(images, labels, masks)


def _draw_group(
    labels: Labels, *, names: Sequence[str], size: int, generator: torch.Generator
) -> tuple[Pixels, ObjectMasks]:
    count = len(labels)
    canvas = _paint(_draw_grounds(count, generator=generator), draw_backgrounds(count, size, generator=generator))
    for kind in ("line", "blob", "blob"):
        color = torch.rand(count, 3, 1, 1, generator=generator)
        canvas = torch.lerp(canvas, color, _draw_clutter(kind, count, size, generator=generator))
    coverage = _draw_object(labels, names=names, size=size, generator=generator)
    surface = _paint(_draw_colors(labels, generator=generator), draw_surfaces(labels, size, generator=generator))
    canvas = torch.lerp(canvas, surface, coverage)
    canvas += 0.025 * torch.randn(canvas.shape, generator=generator)
    return canvas.clamp(0, 1).mul(255).round().byte(), coverage >= 0.5


def _draw_grounds(count: int, *, generator: torch.Generator) -> Palette:
    """Draw two muted colors, close to each other."""
    hue, value, delta = torch.rand(3, count, generator=generator)
    value, delta = 0.2 + 0.6 * value, 0.2 * (delta - 0.5)
    return _colors(hue, 0.3, torch.stack([value - delta, value + delta], dim=1))


def _draw_colors(labels: Labels, *, generator: torch.Generator) -> Palette:
    """Draw a light and a dark shade of a hue that is typical of the class."""
    hue, light = torch.rand(2, len(labels), generator=generator)
    hue = labels / len(OUTLINES) + _HUES * (hue - 0.5)
    return _colors(hue, 0.85, torch.stack([0.75 + 0.25 * light, 0.3 + 0.25 * light], dim=1))


def _colors(hue: Float[Tensor, " n"], saturation: float, value: Float[Tensor, "n 2"]) -> Palette:
    """Return two colors for each image: of one hue, in turns of the circle, and two brightnesses."""
    hues = (2 * math.pi * hue.remainder(1))[:, None].expand_as(value)
    hsv = torch.stack([hues, torch.full_like(value, saturation), value], dim=1)
    return hsv_to_rgb(hsv[..., None])[..., 0].transpose(1, 2)


def _paint(palette: Palette, field: Float[Tensor, "n s s"]) -> Canvas:
    first, second = palette[:, :, :, None, None].unbind(dim=1)
    return torch.lerp(first, second, field[:, None])


def _place(
    count: int, size: int, margin: Float[Tensor, " n"], *, generator: torch.Generator
) -> tuple[Float[Tensor, "n s s"], Float[Tensor, "n s s"]]:
    """Return pixel coordinates around a random center, turned by a random angle, in image sides."""
    center_y, center_x, turn = torch.rand(3, count, generator=generator)[:, :, None, None]
    room = 1 - 2 * margin[:, None, None]
    y, x = pixel_grid(size)
    y, x = y - (center_y - 0.5) * room, x - (center_x - 0.5) * room
    cos, sin = torch.cos(2 * math.pi * turn), torch.sin(2 * math.pi * turn)
    return cos * y - sin * x, sin * y + cos * x


def _draw_object(labels: Labels, *, names: Sequence[str], size: int, generator: torch.Generator) -> Coverage:
    radius = 0.26 + 0.2 * torch.rand(len(labels), generator=generator)
    y, x = _place(len(labels), size, radius, generator=generator)
    y, x = y / radius[:, None, None], x / radius[:, None, None]
    distance = torch.empty_like(x)
    for number, name in enumerate(names):
        picks = (labels == number).nonzero()[:, 0]
        distance[picks] = OUTLINES[name](x[picks], y[picks])
    return _antialias(distance * radius[:, None, None], size)


def _draw_clutter(kind: str, count: int, size: int, *, generator: torch.Generator) -> Coverage:
    """Draw thin lines or small blobs: edges and colors that say nothing about the class."""
    length, width = torch.rand(2, count, generator=generator)[:, :, None, None]
    y, x = _place(count, size, torch.zeros(count), generator=generator)
    if kind == "line":
        distance = torch.maximum(x.abs() - (0.1 + 0.4 * length), y.abs() - (0.008 + 0.012 * width))
    else:
        minor = 0.025 + 0.03 * width
        distance = torch.hypot(x / (1.5 + length), y) - minor
    return _antialias(distance, size)


def _antialias(distance: Float[Tensor, "n s s"], size: int) -> Coverage:
    """Return the share of each pixel that lies inside, from the distance in image sides."""
    return (0.5 - distance * size).clamp(0, 1)[:, None]
