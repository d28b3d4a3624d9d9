"""What happens to the pixels of a crop: color, blur, histogram.

The arithmetic is Kornia's, in the variants that follow PIL. Pixels stay floats between the
operations, where PIL rounds to 8 bits after each.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool
from kornia.color import rgb_to_grayscale
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)
from kornia.enhance import equalize as kornia_equalize
from kornia.enhance import solarize as kornia_solarize
from kornia.filters import filter2d_separable, get_gaussian_kernel1d
from torch import Tensor

from amask_solo._types import Images
from amask_solo.augment.sampling import Draws, Sampler
from amask_solo.augment.schema import Recipe

_SIGMA = (0.1, 2.0)
_KERNEL = 13  # three standard deviations of the widest blur to either side


def shift_hue(images: Images, turns: Draws) -> Images:
    """Turn the hue by parts of the color wheel, in [-0.5, 0.5]."""
    return adjust_hue(images, turns * (2 * math.pi))


ADJUSTMENTS = {
    "brightness": adjust_brightness_accumulative,
    "contrast": adjust_contrast_with_mean_subtraction,
    "saturation": adjust_saturation_with_gray_subtraction,
    "hue": shift_hue,
}
"""The color jitter's four steps: ``(images, one factor an image) -> images``."""


def change_pixels(images: Images, recipe: Recipe, sampler: Sampler) -> Images:
    """Apply a recipe's pixel operations in the host's order, each to the images it is drawn for.

    Args:
        images: Images in [0, 1], already cropped.
        recipe: Which operations, how likely, how strong.
        sampler: Draws for every image of the batch.

    Returns:
        The changed images, in [0, 1].
    """
    if recipe.jitter:
        images = _jitter(images, recipe, sampler)
    if recipe.grayscale:
        images = where_drawn(grayscale, images, sampler.chance(recipe.grayscale))
    if recipe.blur:
        drawn = sampler.chance(recipe.blur)
        images = where_drawn(blur, images, drawn, sampler.uniform(*_SIGMA)[0])
    if recipe.solarize:
        images = where_drawn(solarize, images, sampler.chance(recipe.solarize))
    if recipe.equalize:
        images = where_drawn(equalize, images, sampler.chance(recipe.equalize))
    return images


def where_drawn(
    operation: Callable[..., Images],
    images: Images,
    drawn: Bool[Tensor, " b"],
    *parameters: Draws,
) -> Images:
    """Apply an operation to the drawn images alone; ``parameters`` hold one number an image."""
    if images.device.type != "cpu":
        # Picking rows would make the host wait for the device; computing all of them does not.
        return torch.where(drawn[:, None, None, None], operation(images, *parameters), images)
    rows = drawn.nonzero()[:, 0]
    if not len(rows):
        return images
    return images.index_copy(0, rows, operation(images[rows], *(p[rows] for p in parameters)))


def _jitter(images: Images, recipe: Recipe, sampler: Sampler) -> Images:
    """Jitter colors as torchvision does, but in one order for the whole batch.

    torchvision draws an order for each image. The factors are drawn for each image here too.
    """
    drawn = sampler.chance(recipe.jitter)
    strengths = {name: getattr(recipe, name) for name in ADJUSTMENTS}
    names = [name for name, strength in strengths.items() if strength]
    factors = [sampler.uniform(*_factor_range(name, strengths[name]))[0] for name in names]
    order = sampler.order(len(names))

    def in_order(images: Images, *factors: Draws) -> Images:
        for i in order:
            images = ADJUSTMENTS[names[i]](images, factors[i])
        return images

    return where_drawn(in_order, images, drawn, *factors)


def _factor_range(name: str, strength: float) -> tuple[float, float]:
    return (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)


def grayscale(images: Images) -> Images:
    """Return the luma of the images in all three channels."""
    return rgb_to_grayscale(images).expand_as(images)


def blur(images: Images, sigma: Draws) -> Images:
    """Blur each image with its own deviation in pixels, at most 2; edges are repeated as in PIL."""
    # Not `gaussian_blur2d`: its check that the deviations are positive waits for the device.
    kernel = get_gaussian_kernel1d(_KERNEL, sigma[:, None])
    return filter2d_separable(images, kernel, kernel, "replicate")


def solarize(images: Images) -> Images:
    """Invert the pixels from 128 of 255 up. The threshold lies between 127 and 128."""
    return kornia_solarize(images, 0.5)


def equalize(images: Images) -> Images:
    """Equalize each channel's histogram over the 256 levels of 8 bits."""
    # Kornia cuts to a level where PIL rounds.
    return kornia_equalize((images * 255).round() / 255)
