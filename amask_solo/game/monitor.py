"""Statistics of masks, and a diagnosis of the ways in which masks fail."""

from collections.abc import Iterable, Mapping
from math import isfinite, log
from typing import NamedTuple

import torch
from torch import Tensor

from amask_solo._types import Masks, Scalar

EMPTY = 0.01
"""A mask that hides less than this share of the image, averaged over the batch, is called empty."""

FULL = 0.99
"""A mask that hides more than this share of the image, averaged over the batch, is called full."""

SAME = 0.02
"""Masks with a diversity below this are called the same for all images. A binary mask of area a that moves freely has a
diversity of sqrt(a (1 - a)): 0.1 for an area of 1 %, 0.43 for 25 %."""

IDENTICAL = 0.95
"""Two masks of one image with a similarity (intersection over union) above this are called identical."""


class Finding(NamedTuple):
    """A failure of the masks, in words."""

    kind: str
    what: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} Likely cause: {self.cause}. Try: {self.remedy}."


FAILURES = {
    "nan": (
        "The masks contain NaN or infinite values.",
        "the masker's updates are too large, or half precision overflowed",
        "a lower adversary.optimizer.lr, or trainer.precision=bf16-mixed or 32-true",
    ),
    "empty": (
        "Masks that hide almost nothing: number {}.",
        "the constraint costs more than hiding gains, or there are more masks than are of use",
        "a smaller weight of the constraint, an area budget as projection, or fewer masks",
    ),
    "full": (
        "Masks that hide almost everything: number {}.",
        "nothing keeps the masker from hiding the whole image, which is always the hardest view",
        "a sparsity constraint or a larger weight for it, or an area budget as projection",
    ),
    "same": (
        "All images get nearly the same masks (spread between images {}).",
        "the masker has settled on a fixed pattern whatever it sees, or the encoder has collapsed",
        "a lower adversary.optimizer.lr or a later adversary.start_epoch; compare the kNN accuracy",
    ),
    "identical": (
        "Two masks of an image are nearly identical (intersection over union {}).",
        "nothing makes the masks differ from one another",
        "the overlap constraint; at once, the softmax projection, and one after another, the disjoint one",
    ),
}
"""Kind of failure -> its description, its likely cause, and the remedy to try."""


def mask_statistics(masks: Masks) -> dict[str, Scalar]:
    r"""Return a few statistics of a batch of masks, without waiting for the device.

    - ``area``: the share of the image that a mask hides, mean over masks and images; ``area_1`` to ``area_N`` by mask;
      ``area_min`` and ``area_max`` over all masks of all images.
    - ``entropy``: the mean binary entropy of a pixel in bits; 0 for binary masks, 1 if all pixels are half hidden.
    - ``diversity``: the standard deviation of a mask's pixel between images, mean over pixels; 0 if all images get the
      same masks. Not given for a batch of one.
    - ``overlap``: the share of the image that both of two masks hide, :math:`\overline{m_i m_j}`, mean over pairs. Not
      given for a single mask.
    - ``similarity``: the highest :math:`\sum \min(m_i, m_j) / \sum \max(m_i, m_j)` of two masks of an image, mean over
      images; 1 if two masks are identical, however soft. Not given for a single mask.

    They are scalars on the device of the masks, in float32.

    Example:
        >>> halves = torch.zeros(1, 2, 4, 4)
        >>> halves[:, 0, :, :2] = halves[:, 1, :, 2:] = 1
        >>> statistics = mask_statistics(halves)
        >>> [statistics[name].item() for name in ("area", "area_2", "overlap", "similarity")]
        [0.5, 0.5, 0.0, 0.0]
    """
    masks = masks.detach().float()
    areas = masks.mean(dim=(-2, -1))  # (B, N)
    statistics = {"area": areas.mean(), "area_min": areas.min(), "area_max": areas.max()}
    statistics |= {f"area_{n}": area for n, area in enumerate(areas.mean(dim=0), start=1)}
    # Rounding may leave a mask slightly outside of [0, 1], where the entropy is minus infinity.
    hidden = masks.clamp(0, 1)
    statistics["entropy"] = (torch.special.entr(hidden) + torch.special.entr(1 - hidden)).mean() / log(2)
    if len(masks) > 1:
        statistics["diversity"] = masks.std(dim=0, correction=0).mean()
    if masks.shape[1] > 1:
        statistics |= _pairs(masks)
    return statistics


def _pairs(masks: Masks) -> dict[str, Scalar]:
    flat = masks.flatten(2)  # (B, N, H * W)
    first, second = torch.triu_indices(flat.shape[1], flat.shape[1], offset=1, device=masks.device)
    product = (flat @ flat.mT)[:, first, second] / flat.shape[2]
    # |a - b| = max - min and a + b = max + min, so both sums follow from one distance.
    distance = torch.cdist(flat, flat, p=1)[:, first, second]
    total = flat.sum(dim=-1)
    total = total[:, first] + total[:, second]
    similarity = (total - distance) / (total + distance).clamp_min(1e-6)
    return {"overlap": product.mean(), "similarity": similarity.amax(dim=1).mean()}


def diagnose(statistics: Mapping[str, Scalar | float]) -> list[Finding]:
    """Report what is wrong with the masks.

    Args:
        statistics: The result of :func:`mask_statistics`, or its mean over an epoch.

    Returns:
        The failures found, at most one of each kind; none for healthy masks.

    Example:
        >>> masks = torch.zeros(4, 1, 8, 8)
        >>> [finding.kind for finding in diagnose(mask_statistics(masks))]
        ['empty']
    """
    values = {name: float(value) for name, value in statistics.items()}
    if not all(isfinite(value) for value in values.values()):
        return [_finding("nan")]
    areas = {int(name[5:]): area for name, area in values.items() if name.startswith("area_") and name[5:].isdecimal()}
    empty = [n for n, area in areas.items() if area < EMPTY]
    full = [n for n, area in areas.items() if area > FULL]
    findings = [_finding(kind, _named(n, areas)) for kind, n in (("empty", empty), ("full", full)) if n]
    if len(empty) + len(full) == len(areas):
        return findings  # Masks that hide nothing or everything are also alike, which adds no news.
    if values.get("diversity", 1.0) < SAME:
        findings.append(_finding("same", f"{values['diversity']:.3f}"))
    if len(empty) < 2 and len(full) < 2 and values.get("similarity", 0.0) > IDENTICAL:
        findings.append(_finding("identical", f"{values['similarity']:.2f}"))
    return findings


def _finding(kind: str, number: str = "") -> Finding:
    what, cause, remedy = FAILURES[kind]
    return Finding(kind, what.format(number), cause, remedy)


def _named(numbers: list[int], areas: Mapping[int, float]) -> str:
    named = ", ".join(f"{n} ({areas[n]:.1%})" for n in numbers)
    return f"{named} of {len(areas)}"


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no tensor has a NaN or an infinite entry; waits for the device once."""
    return bool(torch.nn.utils.get_total_norm([t.detach() for t in tensors]).isfinite())
