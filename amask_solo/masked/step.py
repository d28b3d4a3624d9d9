"""What the hooks of one training step pass to one another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from amask_solo.game.adversary import part_size
from amask_solo.game.updates import Turn
from amask_solo.masked.side_effects import Buffers


@dataclass
class Step:
    """One batch that is played. ``training_step`` makes it, ``on_train_batch_end`` lets it go; nothing else is kept.

    Attributes:
        batch: The host's: indexes, clean views, labels.
        batch_idx: Its number in the epoch.
        taken: How many steps the host's optimizer had taken before.
        moves: Whether the masker learns.
        before: The host's buffers as they were at the beginning, if the masker plays again after the encoder. It then
            sees these instead of the present ones: queues without the batch.
        turn: What the encoder's turn was, without its graph, until the backward pass; who watches takes it in the hook
            ``on_before_backward``.
    """

    batch: Sequence
    batch_idx: int
    taken: int = 0
    moves: bool = False
    before: Buffers | None = None
    turn: Turn | None = None

    def part(self, share: float) -> "Step":
        """Return the step with the first images of its batch alone."""
        indexes, views, targets = self.batch
        views = [views] if isinstance(views, Tensor) else views
        size = part_size(share, len(indexes))
        return replace(self, batch=[indexes[:size], [view[:size] for view in views], targets[:size]])
