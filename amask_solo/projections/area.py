"""An area that no mask exceeds or falls short of."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.base import Projection, times, wide

Areas = Float[Tensor, "b n 1 1"]
"""One number for each mask, with the shape of a pixel."""

_HALVINGS = 24
"""Of the interval that holds the shift: enough for float32, whose significand has 24 bits."""

_LEFT = 1e-3
"""Of the interval, where fewer are enough."""


class AreaBudget(Projection):
    """Hide a given share of the image, no matter how large the logits are; see :func:`area_budget`.

    Args:
        area: The mean of every mask, in (0, 1); or its lowest and highest value, between which the
            mask is free.
        sharpness: Factor on the logits, above 0. Masks that start as a gray veil over the whole image hide nothing in
            particular, and the masker gets hardly any gradient; at 10 they start as blobs.

    Raises:
        ValueError: If the area or the range is not inside (0, 1), or the sharpness is not positive.
    """

    def __init__(self, area: float | Sequence[float], *, sharpness: float = 10.0) -> None:
        bounds = list(area) if isinstance(area, Sequence) else [area]
        if len(bounds) not in (1, 2) or not 0 < bounds[0] <= bounds[-1] < 1:
            raise ValueError(
                "Expected area to be a number in (0, 1) or a range [low, high] inside it, "
                f"but got {area}; a quarter of the image is 0.25."
            )
        if sharpness <= 0:
            raise ValueError(f"Expected sharpness to be positive, but got {sharpness}; 1 leaves the logits alone.")
        self.low, self.high = bounds[0], bounds[-1]
        self.least = self.low
        self.sharpness = sharpness

    def within(
        self,
        logits: Logits,
        room: OneMask | None,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Masks:
        """Return masks that meet the budget as far as there is room."""
        # Far beyond where a sigmoid is flat, but float32 still tells two logits apart.
        sharp = (self.sharpness * wide(logits)).clamp(-1e6, 1e6)
        return area_budget(sharp, self.low, self.high, room=room)

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:  # noqa: ARG002
        """Hide the highest pixels, as many as the mask's area says: of a fixed budget, the same number in all masks."""
        flat = masks.flatten(2)
        fewest, most = (round(area * flat.shape[2]) for area in (self.low, self.high))
        counts = flat.sum(dim=2).round().clamp(fewest, most)
        chosen = torch.arange(most, device=flat.device) < counts[..., None]
        order = flat.topk(most, dim=2, sorted=fewest < most).indices
        return torch.zeros_like(flat).scatter(2, order, chosen.to(flat.dtype)).view_as(masks)


def area_budget(logits: Logits, low: float, high: float, *, room: OneMask | None = None) -> Masks:
    r"""Shift the logits of each mask so that its area lies between two bounds.

    With the room :math:`r` (1 if not given), the mask is :math:`m_i = r_i \, \sigma(x_i + s)` where
    the shift :math:`s` solves

    .. math::

        \operatorname{mean} m = \operatorname{clamp}(\operatorname{mean} r \, \sigma(x), low, high).

    As :math:`\sigma(\min x + s) \le \operatorname{mean} \sigma(x + s) \le \sigma(\max x + s)`, the
    shift lies in :math:`\operatorname{logit}(a) - [\min x, \max x]`: the interval that is halved
    follows the logits' own range, and saturated logits cannot outgrow it. A last Newton step is
    exact to second order, and its derivative is that of the implicit function, :math:`\partial s /
    \partial x_i = -r_i \sigma'_i / \sum_j r_j \sigma'_j`.

    Ours. The hard form of the wish that masks be neither empty nor full.

    Args:
        logits: Scores of N masks, of any scale up to about a million.
        low: Smallest area, in (0, 1).
        high: Largest area, in (0, 1); ``low`` for an area that is met exactly.
        room: How much of each pixel may be hidden. If it is smaller than the budget, nearly all of
            it is.

    Returns:
        Masks whose area is within the bounds to 1e-3 (in practice 1e-5), as far as there is room.

    Example:
        >>> area_budget(torch.randn(2, 3, 8, 8) * 1e4, 0.3, 0.3).mean(dim=(-2, -1))[0]
        tensor([0.3000, 0.3000, 0.3000])
    """
    logits = wide(logits)
    # Both are shares of the room: the rest of the computation need not know how large that is.
    free = 1.0 if room is None else room.mean(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    weight = None if room is None else room / room.sum(dim=(-2, -1), keepdim=True).clamp_min(math.ulp(1.0))
    area = (_average(torch.sigmoid(logits), weight) * free).clamp(low, high)
    share = (area / free).clamp(1e-5, 1 - 1e-5)
    with torch.no_grad():
        shift = _shift(logits, share, weight)
    shifted = logits + shift
    mask = torch.sigmoid(shifted)
    slope = _average((mask * (1 - mask)).detach(), weight)
    # Where no pixel is undecided the slope vanishes, and so does what is left to correct.
    step = (share - _average(mask, weight)) / slope.clamp_min(1e-5)
    return times(torch.sigmoid(shifted + step), room)


def _shift(logits: Logits, share: Areas, weight: OneMask | None) -> Areas:
    """Find by bisection, and one Newton step, the shift at which the sigmoid hides a share of the room."""
    low, high = logits.amin(dim=(-2, -1), keepdim=True), logits.amax(dim=(-2, -1), keepdim=True)
    shift = torch.logit(share) - (low + high) / 2
    width = (high - low) / 2
    for _ in range(_halvings(width)):
        width = width / 2
        missing = share - _average((logits + shift).sigmoid_(), weight)
        shift = shift + torch.copysign(width, missing)
    mask = (logits + shift).sigmoid_()
    newton = (share - _average(mask, weight)) / _average(mask * (1 - mask), weight).clamp_min(1e-5)
    return shift + newton.clamp(-width, width)


def _halvings(width: Areas) -> int:
    """Return how many halvings leave so little of the interval that two Newton steps do the rest."""
    if width.device.type != "cpu":
        return _HALVINGS  # on a device, to look at the width is to wait for it
    left = float(width.max()) / _LEFT
    return min(_HALVINGS, math.ceil(math.log2(max(1.0, left)))) if math.isfinite(left) else _HALVINGS


def _average(masks: Masks, weight: OneMask | None) -> Areas:
    """Return the mean over the pixels, or the sum weighted by their shares of the room."""
    if weight is None:
        return masks.mean(dim=(-2, -1), keepdim=True)
    return (masks * weight).sum(dim=(-2, -1), keepdim=True)
