"""The color jitter's four steps, those of torchvision, for images with one factor each.

Kornia has them all, but only its brightness is used, because of measured costs: at 224 pixels its hue, through HSV,
takes 2.7 ms an image on one thread of a CPU and 77 launches on a device, and its contrast and saturation together take
25 launches. The steps below take 0.17 ms, 23 and 11.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from kornia.enhance import adjust_brightness_accumulative
from torch import Tensor

from amask_solo._types import Images
from amask_solo.augment.sampling import Draws

_LEAST = 1e-12
"""Divides in place of the range of a gray pixel, which is 0."""

Step = Callable[[Images, Draws], Images]
"""A step of the jitter: ``(images in [0, 1], one factor an image) -> images in [0, 1]``."""


def luma(images: Images) -> Float[Tensor, "b 1 h w"]:
    """Return how bright each pixel is to PIL (ITU-R 601)."""
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
