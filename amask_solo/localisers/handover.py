"""One localiser for the first epochs, and another from then on."""

from collections.abc import Callable

from torch import nn

from amask_solo._types import Images
from amask_solo.localisers.base import Localiser, Maps

Clock = Callable[[], int]
"""Tells the epoch, from 0."""


class Handover(Localiser):
    """Ask one localiser until another has learned enough to be asked.

    The backbone of a method sees no object in the first epochs, so a localiser that needs no training stands in for it.
    Ours; the localiser of Chin et al. is trained already.

    Args:
        first: Asked in the first epochs.
        then: Asked afterwards, and wherever no epochs are counted, as in an evaluation.
        epochs: How many epochs are the first.

    Raises:
        ValueError: If ``epochs`` is negative.
    """

    def __init__(self, first: Localiser, then: Localiser, *, epochs: int) -> None:
        super().__init__()
        if epochs < 0:
            raise ValueError(f"Expected epochs to be 0 or more, but got {epochs}.")
        self.first, self.then, self.epochs = first, then, epochs
        self.clock: Clock | None = None

    def forward(self, images: Images) -> Maps:
        """Return the map of whichever is asked now."""
        early = self.clock is not None and self.clock() < self.epochs
        return (self.first if early else self.then)(images)


def lend_clock(module: nn.Module, clock: Clock) -> None:
    """Let every handover of a module know the epoch.

    Args:
        module: A masker, or another module that has localisers among its parts.
        clock: Tells the epoch. A bound method of the lender is copied with it.
    """
    for part in module.modules():
        if isinstance(part, Handover):
            part.clock = clock
