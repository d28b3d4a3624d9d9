"""The state that the hooks of one training step share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from amask_solo.game.adversary import part_size
from amask_solo.game.updates import Turn
from amask_solo.masked.side_effects import Buffers


@dataclass
class Step:
    """One batch of the game. ``training_step`` makes it and ``on_train_batch_end`` releases it.

    Attributes:
        batch: The host's batch: indexes, clean views, labels.
        batch_idx: The index of the batch in the epoch.
        taken: The number of steps that the host's optimizer had taken before.
        moves: Whether the masker learns in this step.
        before: The host's buffers at the beginning of the step, if the masker plays again after the encoder. It then
            sees these instead of the present ones, so that the queues do not contain the batch.
        turn: The encoder's turn, without its graph, until the backward pass. Callbacks read it in their hook
            ``on_before_backward``.
    """

    batch: Sequence
    batch_idx: int
    taken: int = 0
    moves: bool = False
    before: Buffers | None = None
    turn: Turn | None = None

    def part(self, share: float) -> "Step":
        """Return the step with a share of its batch, the first images."""
        indexes, views, targets = self.batch
        views = [views] if isinstance(views, Tensor) else views
        size = part_size(share, len(indexes))
        return replace(self, batch=[indexes[:size], [view[:size] for view in views], targets[:size]])
