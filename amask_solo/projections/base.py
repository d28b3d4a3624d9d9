"""From logits to masks: what the adversary may not do at all.

A projection is a function of logits, and of what earlier masks already hide, that always returns masks in [0, 1]. It
computes in float32 or better, so that budgets hold under bf16 as well. Projections are plain classes: a dataclass in a
list of a yaml would be taken for a structured config.
"""

from abc import ABC, abstractmethod

import torch

from amask_solo._types import Logits, Masks, OneMask


class Projection(ABC):
    """Turn logits into masks. A projection has no parameters and no state.

    Attributes:
        disjoint: Whether it hides only what earlier masks left visible; most do not look at these.
        least: The share of the image that a mask hides at least, if there is room.
        shares_out: Whether the masks of an image share its pixels out, so that one made alone would hide everything.
    """

    disjoint: bool = False
    least: float = 0.0
    shares_out: bool = False

    @abstractmethod
    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that nowhere exceed ``room``.

        Args:
            logits: Scores of N masks; higher hides more.
            room: How much of each pixel may be hidden, in [0, 1]; all of it if ``None``.
            generator: Source of randomness, for those that draw.
        """

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:
        """Return which pixels these masks hide if each is hidden or not: by default, those that are more than half.

        Args:
            masks: What :meth:`within` returned.
            room: Its room.

        Returns:
            Zeros and ones; the ones may be where there is no room.
        """
        return (masks > (0.5 if room is None else room / 2)).to(masks.dtype)

    def __call__(
        self, logits: Logits, hidden: OneMask | None = None, *, generator: torch.Generator | None = None
    ) -> Masks:
        """Return masks in [0, 1], in float32 or better.

        Args:
            logits: Scores of N masks; higher hides more.
            hidden: What earlier masks hide.
            generator: Source of randomness, on the device of the logits.
        """
        room = 1 - wide(hidden) if self.disjoint and hidden is not None else None
        return self.within(logits, room, generator=generator)


class Wrapper(Projection):
    """A projection made of another one: it has its attributes, and decides as it does.

    Args:
        inner: The other one.
    """

    def __init__(self, inner: Projection) -> None:
        self.inner = inner
        self.disjoint, self.least, self.shares_out = inner.disjoint, inner.least, inner.shares_out

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:
        """Decide as the inner projection does."""
        return self.inner.decide(masks, room)


def times(masks: Masks, room: OneMask | None) -> Masks:
    """Return the masks as far as there is room."""
    return masks if room is None else masks * room


def wide(logits: Logits) -> Logits:
    """Return the logits in float32 or better."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
