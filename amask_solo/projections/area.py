"""Masks whose area is fixed, or lies within bounds."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.base import Projection, times, whole_cells, wide

Areas = Float[Tensor, "b n 1 1"]
"""One number for each mask."""

_LEFT = 1e-3
"""The width of the interval at which the halving stops."""

_HALVINGS = 24
"""The most halvings; enough for float32, whose significand has 24 bits."""

_TRIED, _REACH = 17, 2.4
"""How many thresholds are tried at once, up to sinh(2.4) = 5 from the pixel at which a mask ends."""


class AreaBudget(Projection):
    """Hide a given share of the image, however large the logits are; see :func:`area_budget`.

    Args:
        area: The mean of every mask, in (0, 1), or its lowest and highest value.
        sharpness: Factor on the logits, above 0. With a low factor, masks start as a gray veil over the whole image and
            the masker gets hardly any gradient; at 10 they start as blobs.

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
        if not 0 < sharpness < math.inf:
            raise ValueError(f"Expected sharpness to be positive, but got {sharpness}; 1 leaves the logits alone.")
        self.low, self.high = bounds[0], bounds[-1]
        self.least = self.low
        self.sharpness = sharpness

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return masks that meet the budget as far as there is room."""
        # At 1e6 a sigmoid is long flat, but float32 still tells two logits apart.
        sharp = F.hardtanh(self.sharpness * wide(logits), -1e6, 1e6)
        return area_budget(sharp, self.low, self.high, room=room)

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:  # noqa: ARG002
        """Hide the highest pixels, as many as the area of the mask says; with a fixed budget, equally many in each.

        Raises:
            UserError: If a bound of the area is nearest to none or all of the pixels.
        """
        flat = masks.flatten(2)
        fewest, most = (whole_cells(area, flat.shape[2]) for area in (self.low, self.high))
        counts = flat.sum(dim=2).round().clamp(fewest, most)
        chosen = torch.arange(most, device=flat.device) < counts[..., None]
        order = flat.topk(most, dim=2, sorted=fewest < most).indices
        return torch.zeros_like(flat).scatter(2, order, chosen.to(flat.dtype)).view_as(masks)


def area_budget(logits: Logits, low: float, high: float, *, room: OneMask | None = None) -> Masks:
    r"""Shift the logits of each mask so that its area lies between two bounds.

    With the room :math:`r` (1 if not given), the mask is :math:`m_i = r_i \, \sigma(x_i + s)`, where the shift
    :math:`s` solves

    .. math::

        \operatorname{mean} m = \operatorname{clamp}(\operatorname{mean} r \, \sigma(x), low, high).

    The shift is found without a gradient. A last Newton step is exact to second order, and its derivative is that of
    the implicit function, :math:`\partial s / \partial x_i = -r_i \sigma'_i / \sum_j r_j \sigma'_j`. Ours.

    Args:
        logits: Scores of N masks, of any scale up to about a million.
        low: Smallest area, in (0, 1).
        high: Largest area, in (0, 1); equal to ``low`` for an exact area.
        room: How much of each pixel may be hidden. If the budget exceeds the room, nearly all of the room is hidden.

    Returns:
        Masks whose area is within the bounds to 1e-3 (in practice 1e-5), as far as there is room.

    Example:
        >>> area_budget(torch.randn(2, 3, 8, 8) * 1e4, 0.3, 0.3).mean(dim=(-2, -1))[0]
        tensor([0.3000, 0.3000, 0.3000])
    """
    logits = wide(logits)
    share, weight = logits.new_full((*logits.shape[:2], 1, 1), low), None
    if room is not None:
        # Both are relative to the room, so the rest does not depend on its size.
        free = room.mean(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
        share, weight = share / free, room / free
    if low < high:
        share = _average(torch.sigmoid(logits), weight).clamp(share, share * (high / low))
    share = share.clamp(1e-5, 1 - 1e-5)
    with torch.no_grad():
        # On a CPU an operation costs what it computes, on a device its launch. To read a width would wait there, and
        # cannot be compiled.
        halves = logits.device.type == "cpu" and not torch.compiler.is_compiling()
        threshold = (_threshold_by_halving if halves else _threshold_by_rank)(logits, share, weight)
    above = logits - threshold
    missing, slope = _missing(torch.sigmoid(above), share, weight)
    # If no pixel is undecided, the slope vanishes, and so does the correction.
    return times(torch.sigmoid(above + missing / slope), room)


def _threshold_by_halving(logits: Logits, share: Areas, weight: OneMask | None) -> Areas:
    r"""Find the threshold over which the sigmoid hides a share of the room, by bisection and one Newton step.

    Since :math:`\sigma(\min x - t) \le \operatorname{mean} \sigma(x - t) \le \sigma(\max x - t)`, the threshold for a
    mean :math:`a` lies in :math:`[\min x, \max x] - \operatorname{logit}(a)`.
    """
    low, high = logits.amin(dim=(-2, -1), keepdim=True), logits.amax(dim=(-2, -1), keepdim=True)
    threshold = (low + high) / 2 - torch.logit(share)
    width = (high - low) / 2
    left = float(width.max()) / _LEFT
    halvings = math.ceil(math.log2(max(1.0, left))) if math.isfinite(left) else _HALVINGS
    for _ in range(min(_HALVINGS, halvings)):
        width = width / 2
        missing = share - _average((logits - threshold).sigmoid_(), weight)
        threshold = threshold - torch.copysign(width, missing)
    return _after_newton(logits, threshold, share, weight).clamp(threshold - width, threshold + width)


def _threshold_by_rank(logits: Logits, share: Areas, weight: OneMask | None) -> Areas:
    r"""Find that threshold from the best of some that are tried at once, by Newton steps: few operations, more memory.

    They lie around the pixel :math:`x_k` at which the share of the room is full. At the right threshold :math:`t`, the
    pixels below :math:`x_k` hide what those above it lack, at most :math:`e^{-|t - x_k|}`: the farther it lies from
    :math:`x_k`, the less an error matters, and the farther apart those tried may lie.
    """
    scores = logits.flatten(2)
    values, order = scores.sort(dim=2, descending=True)
    place = share.flatten(2) * scores.shape[2]
    if weight is None:
        place = place.long()
    else:
        sums = weight.flatten(2).expand_as(values).gather(2, order).cumsum(dim=2)
        place = torch.searchsorted(sums, place).clamp_max(scores.shape[2] - 1)
    offsets = torch.linspace(-_REACH, _REACH, _TRIED, dtype=scores.dtype, device=scores.device).sinh_()
    tried = values.gather(2, place) + offsets
    masks = (scores.unsqueeze(2) - tried.unsqueeze(3)).sigmoid_()
    if weight is not None:
        masks = masks.mul_(weight.flatten(2).unsqueeze(2))
    best = (masks.mean(dim=3) - share.flatten(2)).abs_().argmin(dim=2, keepdim=True)
    threshold = tried.gather(2, best).unsqueeze(3)
    threshold = _after_logit_step(logits, threshold, share, weight)
    return _after_newton(logits, threshold, share, weight)


def _after_logit_step(logits: Logits, threshold: Areas, share: Areas, weight: OneMask | None) -> Areas:
    """Return the threshold after a Newton step for the logit of the mean.

    It is exact where all scores are alike, and does not go astray where nearly all or nothing is hidden.
    """
    missing, slope = _missing((logits - threshold).sigmoid_(), share, weight)
    mean = (share - missing).clamp(1e-6, 1 - 1e-6)
    step = (torch.logit(mean) - torch.logit(share)) * mean * (1 - mean)
    return torch.addcdiv(threshold, step, slope)


def _after_newton(logits: Logits, threshold: Areas, share: Areas, weight: OneMask | None) -> Areas:
    """Return the threshold after one Newton step."""
    return torch.addcdiv(threshold, *_missing((logits - threshold).sigmoid_(), share, weight), value=-1)


def _missing(mask: Masks, share: Areas, weight: OneMask | None) -> tuple[Areas, Areas]:
    """Return what a mask lacks, and its slope by the threshold, which has no gradient, in few operations."""
    weighted = times(mask, weight)
    known = weighted.detach()
    slope = torch.addcmul(known, known, mask.detach(), value=-1).mean(dim=(-2, -1), keepdim=True)
    return share - weighted.mean(dim=(-2, -1), keepdim=True), slope.clamp_min(1e-5)


def _average(masks: Masks, weight: OneMask | None) -> Areas:
    """Return the mean over the pixels, weighted by their shares of the room."""
    return times(masks, weight).mean(dim=(-2, -1), keepdim=True)
