"""The base class of projections from logits to masks, and those that project each pixel by itself.

A projection maps logits, and the part that earlier masks hide, to masks in [0, 1]. It computes in float32 or better, so
that budgets also hold under bf16. Projections are plain classes, because OmegaConf would take a dataclass in a list of
a yaml for a structured config.
"""

from abc import ABC, abstractmethod

import torch

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.errors import UserError


class Projection(ABC):
    """Turn logits into masks. A projection has no parameters and no state.

    Attributes:
        disjoint: Whether it only hides what earlier masks left visible; most projections ignore earlier masks.
        least: The minimum share of the image that a mask hides, if there is room.
        shares_out: Whether the masks of an image divide its pixels among them, so that a single mask hides everything.
        draws: Whether it draws random numbers.
    """

    disjoint: bool = False
    least: float = 0.0
    shares_out: bool = False
    draws: bool = False

    @abstractmethod
    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that nowhere exceed ``room``.

        Args:
            logits: Scores of N masks; higher hides more.
            room: How much of each pixel may be hidden, in [0, 1]; ``None`` means 1.
            generator: Source of randomness, for projections that draw.
        """

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:
        """Return zeros and ones for the masks of :meth:`within`; ones may be where there is no room.

        By default, pixels are hidden if more than half of their room is.
        """
        return (masks > (0.5 if room is None else room / 2)).to(masks.dtype)

    def __call__(
        self, logits: Logits, hidden: OneMask | None = None, *, generator: torch.Generator | None = None
    ) -> Masks:
        """Return masks in [0, 1], in float32 or better.

        Args:
            logits: Scores of N masks; higher hides more.
            hidden: How much of each pixel earlier masks hide.
            generator: Source of randomness, on the device of the logits.
        """
        room = 1 - wide(hidden) if self.disjoint and hidden is not None else None
        return self.within(logits, room, generator=generator)


class Wrapper(Projection):
    """A projection that wraps an inner one; it has the attributes of the inner one and decides as that does."""

    def __init__(self, inner: Projection) -> None:
        self.inner = inner
        self.disjoint, self.least, self.shares_out = inner.disjoint, inner.least, inner.shares_out
        self.draws = inner.draws

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:
        """Decide as the inner projection does."""
        return self.inner.decide(masks, room)


def times(masks: Masks, room: OneMask | None) -> Masks:
    """Return the masks, limited to the room."""
    return masks if room is None else masks * room


def wide(logits: Logits) -> Logits:
    """Return the logits in float32 or better."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class Sigmoid(Projection):
    """Hide each pixel independently of all others; nothing limits the area."""

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return the sigmoid of the logits, times the room."""
        return times(torch.sigmoid(wide(logits)), room)


class Softmax(Projection):
    """Divide each pixel among the N masks, which sum to one everywhere.

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning
        <https://arxiv.org/abs/2201.13100>`_, ICML 2022.
    """

    shares_out = True

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:  # noqa: ARG002
        """Return the softmax over the masks, times the room.

        Raises:
            ValueError: If there is only one mask, which would hide everything.
        """
        if logits.shape[1] < 2:
            raise ValueError(
                "Expected two masks or more to share the pixels out, but got 1, which would hide everything; "
                "take a larger num_masks, or the projection Sigmoid or AreaBudget."
            )
        return times(torch.softmax(wide(logits), dim=1), room)

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:  # noqa: ARG002
        """Give each pixel to the mask with the largest share of it."""
        return torch.zeros_like(masks).scatter(1, masks.argmax(dim=1, keepdim=True), 1.0)


def whole_cells(area: float, cells: int) -> int:
    """Return how many of some pixels or patches are nearest to a share of them.

    Raises:
        UserError: If that is none or all, so that masks would hide nothing, or everything.
    """
    count = round(area * cells)
    if not 0 < count < cells:
        raise UserError(
            f"An area of {area:g} is nearest to {'all' if count else 'none'} of the {cells} pixels or patches of a "
            "mask; give another area, smaller patches or larger views."
        )
    return count
