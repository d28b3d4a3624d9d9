"""What happens to the pixels of a crop: color, blur, histogram.

The arithmetic is Kornia's, in the variants that follow PIL, except for the blur (:mod:`amask_solo.blur`) and the jitter
(:mod:`amask_solo.augment.jitter`). Pixels stay floats between the operations; PIL rounds to 8 bits after each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool
from kornia.enhance import equalize as kornia_equalize
from torch import Tensor

from amask_solo._types import Images
from amask_solo.augment.jitter import ADJUSTMENTS, jitter, luma
from amask_solo.augment.sampling import Draws, Sampler
from amask_solo.augment.schema import Recipe
from amask_solo.blur import gaussian_blur

_SIGMA = (0.1, 2.0)
_KERNEL = 13  # three standard deviations of the widest blur to either side


class Change(NamedTuple):
    """An operation on pixels, with what was drawn for it.

    Attributes:
        operation: ``(images, *parameters) -> images``, in [0, 1].
        drawn: Which images it is for.
        parameters: One number an image each.
    """

    operation: Callable[..., Images]
    drawn: Bool[Tensor, " b"]
    parameters: tuple[Draws, ...] = ()


def draw_changes(recipe: Recipe, sampler: Sampler) -> list[Change]:
    """Draw which of a recipe's pixel operations each image gets, and how strong, in the host's order.

    Args:
        recipe: Which operations, how likely, how strong.
        sampler: Draws for every image of the batch.
    """
    changes = [_draw_jitter(recipe, sampler)] if recipe.jitter else []
    for operation in (grayscale, blur, solarize, equalize):
        if probability := getattr(recipe, operation.__name__):
            drawn = sampler.chance(probability)
            changes.append(Change(operation, drawn, (sampler.uniform(*_SIGMA)[0],) if operation is blur else ()))
    return changes


def change_pixels(images: Images, changes: Sequence[Change], rows: slice) -> Images:
    """Apply changes that were drawn for a batch to some of its images.

    Args:
        images: Images in [0, 1], already cropped.
        changes: Drawn by :func:`draw_changes`.
        rows: Where in the batch the images lie.

    Returns:
        The changed images, in [0, 1].
    """
    for change in changes:
        parameters = (drawn[rows] for drawn in change.parameters)
        images = where_drawn(change.operation, images, change.drawn[rows], *parameters)
    return images


def where_drawn(
    operation: Callable[..., Images], images: Images, drawn: Bool[Tensor, " b"], *parameters: Draws
) -> Images:
    """Apply an operation to the drawn images alone; ``parameters`` hold one number an image."""
    if images.device.type != "cpu":
        # Picking rows would make the host wait for the device; computing all of them does not.
        return torch.where(drawn[:, None, None, None], operation(images, *parameters), images)
    rows = drawn.nonzero()[:, 0]
    if not len(rows):
        return images
    if len(rows) == len(images):
        return operation(images, *parameters)
    return images.index_copy(0, rows, operation(images[rows], *(p[rows] for p in parameters)))


def _draw_jitter(recipe: Recipe, sampler: Sampler) -> Change:
    """Draw a jitter of colors as torchvision does, but in one order for the whole batch.

    torchvision draws an order for each image. The factors are drawn for each image here too.
    """
    drawn = sampler.chance(recipe.jitter)
    strengths = {name: getattr(recipe, name) for name in ADJUSTMENTS}
    names = [name for name, strength in strengths.items() if strength]
    factors = [sampler.uniform(*_factor_range(name, strengths[name]))[0] for name in names]
    order = sampler.order(len(names))
    steps = [ADJUSTMENTS[names[i]] for i in order]
    return Change(partial(jitter, steps=steps), drawn, tuple(factors[i] for i in order))


def _factor_range(name: str, strength: float) -> tuple[float, float]:
    return (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)


def grayscale(images: Images) -> Images:
    """Return the luma of the images in all three channels."""
    return luma(images).expand_as(images)


def blur(images: Images, sigma: Draws) -> Images:
    """Blur each image with its own deviation in pixels, at most 2; edges are repeated as in PIL."""
    return gaussian_blur(images, sigma, (_KERNEL, _KERNEL), border="replicate")


def solarize(images: Images) -> Images:
    """Invert the pixels from 128 of 255 up. The threshold lies between 127 and 128."""
    return torch.where(images < 0.5, images, 1 - images)  # Kornia copies its threshold to the device, and waits


def equalize(images: Images) -> Images:
    """Equalize each channel's histogram over the 256 levels of 8 bits."""
    # Kornia cuts to a level where PIL rounds.
    return kornia_equalize((images * 255).round() / 255)
