"""Pairs of views: which of the two views of an entry are masked. ADIOS with SimSiam plays several pairs a mask."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from amask_solo._types import Views, WeightedViews

PAIRS = {"first": (0,), "second": (1,), "both": (0, 1), "neither": ()}
"""The name of a pair of views -> the indexes of those that are masked."""

Pairs = Mapping[str, float]
"""The name of a pair -> its weight."""


def check_pairs(pairs: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the pairs that have a weight; none for ``None``.

    Raises:
        ValueError: If a name is unknown, a weight is not a number of 0 or more, or no pair with a
            weight has a mask.
    """
    for name, weight in (pairs or {}).items():
        if name not in PAIRS:
            raise ValueError(f"Expected pairs to be among {', '.join(PAIRS)}, but got {name!r}.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ValueError(f"Expected the weight of pairs.{name} to be a number of 0 or more, but got {weight!r}.")
    played = {name: float(weight) for name, weight in (pairs or {}).items() if weight}
    if pairs is not None and not masked_pairs(played):
        raise ValueError("Expected pairs with a mask, but none has a weight; give one to first, second or both.")
    return played


def masked_pairs(pairs: Pairs) -> dict[str, float]:
    """Return the pairs with a mask."""
    return {name: weight for name, weight in pairs.items() if PAIRS[name]}


def paired(entries: Iterable[WeightedViews], views: Views, pairs: Pairs, *, total: float) -> Iterator[WeightedViews]:
    """Yield the pairs of each entry lazily; before them the pair without a mask, once for all entries.

    Args:
        entries: Entries in which all views are masked that some pair masks.
        views: The clean views.
        pairs: The pairs and their weights.
        total: The sum of the weights of the entries.

    Example:
        >>> import torch
        >>> clean, hard = [torch.zeros(2, 3, 4, 4)] * 2, (torch.ones(2, 3, 4, 4),) * 2
        >>> pairs = {"first": 0.5, "neither": 0.5}
        >>> made = paired([WeightedViews(hard, 1.0, 1)] * 2, clean, pairs, total=2.0)
        >>> for entry in made:
        ...     print(*(view.mean().item() for view in entry.views), entry.weight)
        0.0 0.0 1.0
        1.0 0.0 0.5
        1.0 0.0 0.5
    """
    if "neither" in pairs:
        yield WeightedViews(tuple(views), pairs["neither"] * total, 0)
    for entry in entries:
        for name, weight in masked_pairs(pairs).items():
            masked = PAIRS[name]
            pair = (
                hard if n in masked else view for n, (hard, view) in enumerate(zip(entry.views, views, strict=True))
            )
            yield WeightedViews(tuple(pair), weight * entry.weight, masked[-1])
