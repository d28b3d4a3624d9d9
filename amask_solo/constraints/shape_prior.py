"""A constraint that is learned: masks that a small network cannot tell from rectangles."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.quasirandom import SobolEngine

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint

SIDE = 16
"""Masks are judged at this height and width, whatever the image's."""

COUNT = 256
"""How many rectangles masks are compared with; so many leave no gaps in four dimensions."""

ASPECT = 10 / 3
"""A rectangle is at most so many times as high as wide, or as wide as high."""

Pictures = Float[Tensor, "count 1 side side"]
"""Small masks, of all images one after another."""


class ShapePrior(Constraint):
    r"""Penalize masks that do not look like one rectangle, as judged by a small network that learns to tell.

    With the discriminator :math:`D`, masks :math:`m` and rectangles :math:`r` of random place, shape and area, the
    penalty is that of the generator of a least-squares GAN, :math:`(D(m) - 1)^2`; the discriminator lowers
    :math:`\frac{1}{2} (D(r) - 1)^2 + \frac{1}{2} D(m)^2`.

    Both are one number for the masker's optimizer. The first term holds the discriminator's weights fixed, the second
    the masks; the second has a gradient, but no value, so the logged penalty is what the masker pays. Spectral
    normalization keeps the discriminator from becoming so sure that the masker learns nothing.

    Args:
        area: The lowest and highest share of the image that a rectangle covers, within (0, 1). It should be about that
            of the masks, so that only their shape tells them apart.
        width: Channels of the discriminator after its first layer, at least 1.

    Raises:
        ValueError: If the areas are not in order and within (0, 1), or the width is not positive.

    Example:
        >>> prior = ShapePrior()
        >>> penalty = prior(torch.rand(2, 3, 32, 32, requires_grad=True))
        >>> penalty.shape, len(torch.autograd.grad(penalty, list(prior.parameters())))
        (torch.Size([]), 6)

    References:
        Chen et al., `AutoMAE <https://arxiv.org/abs/2303.06583>`_, PRCV 2023: the rectangles, the loss and three
        layers with spectral normalization on a grid of patches; a weight of 0.2. That both players share an optimizer,
        and rectangles that are spread evenly and the same in every step, are ours.
        Mao et al., `Least Squares Generative Adversarial Networks <https://arxiv.org/abs/1611.04076>`_, ICCV 2017.
    """

    rectangles: Tensor

    def __init__(self, area: Sequence[float] = (0.2, 0.8), *, width: int = 16) -> None:
        super().__init__()
        if len(area) != 2 or not 0 < area[0] <= area[1] < 1:
            raise ValueError(f"Expected area as [low, high] inside (0, 1), but got {area}.")
        if width < 1:
            raise ValueError(f"Expected width of 1 or more, but got {width}.")
        self.discriminator = nn.Sequential(
            spectral_norm(nn.Conv2d(1, width, 3, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 1, SIDE // 4)),
        )
        # They are the same in every run, so checkpoints do not hold them.
        self.register_buffer("rectangles", rectangles(*area), persistent=False)

    def forward(self, masks: Masks) -> Scalar:
        """Return the masker's penalty, whose gradient also trains the discriminator."""
        made = F.interpolate(masks.flatten(0, 1)[:, None].to(self.rectangles.dtype), size=(SIDE, SIDE), mode="area")
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, fixed, made).float()
        learned = self._mistakes(made.detach())
        return (judged - 1).square().mean() * masks.shape[1] + (learned - learned.detach())

    def _mistakes(self, made: Pictures) -> Scalar:
        """Return what the discriminator lowers."""
        judged = self.discriminator(torch.cat([made, self.rectangles])).float()
        false, true = judged.split([len(made), COUNT])
        return (false.square().mean() + (true - 1).square().mean()) / 2


def rectangles(low: float, high: float) -> Pictures:
    """Return rectangles of areas between two shares of the image, spread evenly over areas, shapes and places.

    Returns:
        Shares of small pixels that they cover, in [0, 1]; the same in every call.

    Example:
        >>> areas = rectangles(0.2, 0.4).mean(dim=(-2, -1))
        >>> areas.shape, areas.min(), areas.mean()
        (torch.Size([256, 1]), tensor(0.2000), tensor(0.2996))
    """
    areas, shapes, down, right = SobolEngine(4).draw(COUNT).unbind(dim=1)
    areas = low + (high - low) * areas
    # Neither side is longer than the image.
    most = (1 / areas).clamp_max(ASPECT).log()
    tall = (areas * ((2 * shapes - 1) * most).exp()).sqrt()
    wide = areas / tall
    return (_covered(tall, down)[:, :, None] * _covered(wide, right)[:, None, :])[:, None]


def _covered(length: Float[Tensor, " count"], place: Float[Tensor, " count"]) -> Float[Tensor, "count side"]:
    """Return how much of each pixel of a row an interval covers, of a length and at a place in [0, 1]."""
    start = (place * (1 - length) * SIDE)[:, None]
    pixel = torch.arange(SIDE)
    return (torch.minimum(pixel + 1, start + SIDE * length[:, None]) - torch.maximum(pixel, start)).clamp(0, 1)
