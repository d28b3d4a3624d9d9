"""Hard views: a list of weighted views in, a list of weighted views out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import nn

from amask_solo._types import BaseLoss, WeightedViews


class HardView(nn.Module, ABC):
    """Make views harder that may be occluded already. It has no parameters, and the weights keep their sum.

    Attributes:
        num_entries: How many entries it makes of one; each is a call of the host.
    """

    num_entries: int = 1

    @property
    def idle(self) -> bool:
        """Whether it leaves all views as they are."""
        return False

    @abstractmethod
    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield harder entries, each made when it is asked for.

        Args:
            entries: The sum as it is so far.
            loss: The host's objective, without a trace, for an attack on it.
            generator: Source of randomness, on the device of the views.
        """


class Chain(HardView):
    """Play hard views one after another, each on all entries that the one before makes; none of them changes nothing.

    Args:
        hard_views: In their order.

    Example:
        >>> entry = WeightedViews((torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)), 1.0, side=1)
        >>> next(Chain()([entry], loss=torch.stack)) is entry
        True
    """

    def __init__(self, hard_views: Sequence[HardView] = ()) -> None:
        super().__init__()
        self.hard_views = nn.ModuleList(hard_views)
        self.num_entries = math.prod(hard_view.num_entries for hard_view in hard_views)

    @property
    def idle(self) -> bool:
        """Whether nothing is in it."""
        return all(hard_view.idle for hard_view in self.hard_views)

    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield the entries of the last one."""
        for hard_view in self.hard_views:
            entries = hard_view(entries, loss, generator=generator)
        yield from entries


class Beside(HardView):
    """Play hard views beside one another, each on the same entries: every one makes further views of a batch.

    The host writes its logs, statistics and queues in the last call, so what it shall learn them from comes last.

    Args:
        parts: Hard views by name; an empty :class:`Chain` shows the views as they come.
        weights: How much each counts, by the same names and relative to their sum; 1 for names that are missing. One
            with the weight 0 is not played.

    Raises:
        ValueError: If a weight names no part, or is negative or not finite, or no part counts.
    """

    def __init__(self, parts: Mapping[str, HardView], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict.fromkeys(parts, 1.0) | dict(weights or {})
        if unknown := sorted(weights.keys() - parts.keys()):
            raise ValueError(f"Expected weights of {', '.join(parts)}, but got one of {', '.join(unknown)}.")
        total = sum(weights.values())
        if not (math.isfinite(total) and total > 0 and min(weights.values()) >= 0):
            raise ValueError(f"Expected weights of 0 or more, not all of them 0, but got {weights}.")
        self.parts = nn.ModuleDict({name: part for name, part in parts.items() if weights[name]})
        self.shares = {name: weights[name] / total for name in self.parts}
        self.num_entries = sum(parts[name].num_entries for name in self.shares)

    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield the entries of one part after another."""
        entries = list(entries)
        for name, part in self.parts.items():
            for entry in part(entries, loss, generator=generator):
                yield entry._replace(weight=self.shares[name] * entry.weight)
