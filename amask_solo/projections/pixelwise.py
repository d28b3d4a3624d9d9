"""Projections of each pixel by itself."""

import torch

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.base import Projection, times, wide


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
