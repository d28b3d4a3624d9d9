"""What happens to the pixels of a crop: color, blur, histogram.

The arithmetic is Kornia's, in the variants that follow PIL, except for the blur (:mod:`amask_solo.blur`) and most of
the jitter, because of measured costs: at 224 pixels Kornia's hue, through HSV, takes 2.7 ms an image on one thread of a
CPU and 77 launches on a device, and its contrast and saturation together take 25 launches. Those below take 0.17 ms, 23
and 11. Pixels stay floats between the operations; PIL rounds to 8 bits after each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from kornia.enhance import adjust_brightness_accumulative
from kornia.enhance import equalize as kornia_equalize
from torch import Tensor

from amask_solo._types import Images
from amask_solo.augment.sampling import Draws, Sampler
from amask_solo.augment.schema import Recipe
from amask_solo.blur import gaussian_blur

_SIGMA = (0.1, 2.0)
_KERNEL = 13  # three standard deviations of the widest blur to either side
_LEAST = 1e-12  # divides in place of the range of a gray pixel, which is 0

Step = Callable[[Images, Draws], Images]
"""A step of the jitter: ``(images in [0, 1], one factor an image) -> images in [0, 1]``."""


def luma(images: Images) -> Float[Tensor, "b 1 h w"]:
    """Return how bright each pixel is to PIL (ITU-R 601); of other than three channels, the mean."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_contrast(images: Images, factors: Draws) -> Images:
    """Scale the distance of the pixels to the image's mean luma, which is the luma of its mean color."""
    return _blend(luma(images.mean(dim=(-2, -1), keepdim=True)), images, factors)


def adjust_saturation(images: Images, factors: Draws) -> Images:
    """Scale the distance of the pixels to their luma."""
    return _blend(luma(images), images, factors)


def _blend(gray: Float[Tensor, "b 1 _ _"], images: Images, factors: Draws) -> Images:
    return torch.lerp(gray, images, factors[:, None, None, None]).clamp_(0, 1)


def adjust_hue(images: Images, turns: Draws) -> Images:
    r"""Turn the hue by parts of the color wheel, in [-0.5, 0.5], and keep value and saturation in HSV.

    On the wheel, six units long, a channel is at its pixel's maximum :math:`M` up to one unit from its own color, at
    the minimum :math:`m` from two units on, and linear between. So no conversion is needed: the distance from red is

    .. math:: d = 1 + \frac{g + b - r - m}{M - m},

    towards green where :math:`g > b`, else towards blue, and a channel that is :math:`\delta` from the turned hue
    becomes :math:`m + (M - m) \, \mathrm{clamp}(2 - \delta, 0, 1)`.

    References:
        The HSV of Smith, Color gamut transform pairs, SIGGRAPH 1978. The form without cases is ours.
    """
    red, green, blue = images.split(1, dim=1)
    lowest = images.amin(dim=1, keepdim=True)
    spread = images.amax(dim=1, keepdim=True) - lowest
    from_red = (green + blue).sub_(red).sub_(lowest).div_(spread.clamp(min=_LEAST)).add_(1)
    hue = from_red.copysign_(green - blue)  # in [-3, 3]
    # In [-6, 6]: once around the wheel to either side, so the distance is 3 - |3 - |x||.
    away = hue - _turned_colors(turns)[:, :, None, None]
    share = away.abs_().sub_(3).abs_().sub_(1).clamp_(0, 1)
    return share.mul_(spread).add_(lowest)


def _turned_colors(turns: Draws) -> Float[Tensor, "b 3"]:
    """Return where on the wheel, in [-3, 3), a hue has to be to be turned to red, green and blue."""
    opposite = torch.arange(3.0, 9.0, 2.0, device=turns.device)  # half a turn from 0, 2 and 4
    return opposite.sub(turns[:, None], alpha=6).remainder_(6).sub_(3)


ADJUSTMENTS: dict[str, Step] = {
    "brightness": adjust_brightness_accumulative,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}
"""The steps, by the names that their settings have in the host's schema."""


def jitter(images: Images, *factors: Draws, steps: list[Step]) -> Images:
    """Apply the steps one after another, each with its factors."""
    for step, own in zip(steps, factors, strict=True):
        images = step(images, own)
    return images


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
    """Draw which of a recipe's pixel operations each image gets, and how strong, in the host's order."""
    changes = [_draw_jitter(recipe, sampler)] if recipe.jitter else []
    for operation in (grayscale, blur, solarize, equalize):
        if probability := getattr(recipe, operation.__name__):
            drawn = sampler.chance(probability)
            changes.append(Change(operation, drawn, (sampler.uniform(*_SIGMA)[0],) if operation is blur else ()))
    return changes


def change_pixels(images: Images, changes: Sequence[Change], rows: slice) -> Images:
    """Apply changes that :func:`draw_changes` drew for a batch to crops, in [0, 1], of some of its images."""
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
