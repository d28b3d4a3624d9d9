"""The base class of hard views, which map entries of the game to entries, and their combinations."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import nn

from amask_solo._types import BaseLoss, WeightedViews


class HardView(nn.Module, ABC):
    """Make views harder, after occlusion. A hard view has no parameters and keeps the sum of the weights.

    Attributes:
        num_entries: The number of entries that it makes of one; each entry is a call of the host.
        attacks: Whether it follows the gradient of the objective itself.
    """

    num_entries: int = 1
    attacks: bool = False

    @property
    def idle(self) -> bool:
        """Whether it leaves all views unchanged."""
        return False

    @abstractmethod
    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield harder entries lazily.

        Args:
            entries: The entries of the sum so far.
            loss: The host's objective without side effects, for an attack on it.
            generator: Source of randomness, on the device of the views.
        """


class Chain(HardView):
    """Apply hard views one after another, each to all entries of the previous one; an empty chain changes nothing.

    Args:
        hard_views: The hard views, in order.

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
        """Whether it is empty or all of its hard views are idle."""
        return all(hard_view.idle for hard_view in self.hard_views)

    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield the entries of the last hard view."""
        for hard_view in self.hard_views:
            entries = hard_view(entries, loss, generator=generator)
        yield from entries


class Beside(HardView):
    """Apply several hard views to the same entries, and play all of the results.

    The host writes its logs, statistics and queues in the last call, so the views for these must come last.

    Args:
        parts: Name -> hard view; an empty :class:`Chain` shows the views unchanged.
        weights: Name -> weight of at least 0, relative to the sum of all weights; missing names have weight 1, and a
            part with weight 0 is left out.

    Raises:
        ValueError: If a weight names no part, is negative or not finite, if all weights are 0, or if a part has a name
            that a module keeps for itself.
    """

    def __init__(self, parts: Mapping[str, HardView], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict.fromkeys(parts, 1.0) | dict(weights or {})
        if unknown := sorted(weights.keys() - parts.keys()):
            raise ValueError(f"Expected weights of {', '.join(parts)}, but got one of {', '.join(unknown)}.")
        total = sum(weights.values())
        if not (math.isfinite(total) and total > 0 and min(weights.values()) >= 0):
            raise ValueError(f"Expected weights of 0 or more, not all of them 0, but got {weights}.")
        try:
            self.parts = nn.ModuleDict({name: part for name, part in parts.items() if weights[name]})
        except KeyError as error:  # of what a ModuleDict itself has, such as "half"
            raise ValueError(f"A hard view cannot have this name: {error.args[0]}.") from error
        self.shares = {name: weights[name] / total for name in self.parts}
        self.num_entries = sum(parts[name].num_entries for name in self.shares)

    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield the entries of each part in turn."""
        entries = list(entries)
        for name, part in self.parts.items():
            for entry in part(entries, loss, generator=generator):
                yield entry._replace(weight=self.shares[name] * entry.weight)
