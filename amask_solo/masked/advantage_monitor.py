"""Measures how strong the adversary is, on batches that the encoder has not learned from yet."""

from collections import deque
from math import isfinite
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from amask_solo._types import Scalar, Views
from amask_solo.game.advantage import Lifts, advantage_statistics, diagnose_advantage, measure_lifts
from amask_solo.masked.side_effects import quiet

EPOCHS = 5
"""The ratios are of the sums over so many measured epochs, the last ones: those of a single batch are mostly noise."""

STRIDE, MOST = 100, 4
"""One batch in so many is measured, at least one an epoch and at most so many."""


def is_measured(batch_idx: int, batches: int | float) -> bool:
    """Return whether a batch of an epoch is measured on.

    Args:
        batch_idx: Its number, from 0.
        batches: How many there are in the epoch; infinity if that is not known.

    Example:
        >>> [[n for n in range(250) if is_measured(n, batches)] for batches in (30, 250, float("inf"))]
        [[29], [124, 249], [0, 100, 200]]
    """
    if not isfinite(batches):
        return batch_idx % STRIDE == 0
    count = min(MOST, max(1, int(batches) // STRIDE))
    return batch_idx + 1 in {int(batches) * stretch // count for stretch in range(1, count + 1)}


class AdvantageMonitor(Callback):
    """Log ``adversary/advantage`` and ``adversary/attention``, in all and by mask, and name masks that are too easy.

    What they are is said in :mod:`amask_solo.game.advantage`. They are NaN where the game's rivals do not clearly raise
    the loss, and in the first epoch if it has one measured batch. Beside them, of this epoch alone: ``adversary/lift``,
    ``adversary/lift_blocks`` and ``adversary/lift_others``, what the masks, the blocks, and the masks of other images
    add to the loss.

    Measured are the last batches of equal stretches of the epoch, one in a hundred, each right before the step that
    learns from it. The networks are in training mode, as the players see them. It leaves no trace: parameters,
    gradients, buffers and random streams are as without it.

    Args:
        every: Every so many epochs; the last epoch always.

    Raises:
        ValueError: If ``every`` is not positive.
    """

    def __init__(self, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"Expected every to be at least 1, but got {every}.")
        self.every = every
        self._seen: list[Tensor] = []
        self._window: deque[Lifts] = deque(maxlen=EPOCHS)
        self._warned: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        """Return the lifts of the last epochs, for a run that is resumed."""
        return {"window": list(self._window)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the lifts of the epochs before."""
        self._window.extend(state_dict["window"])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Measure, if this batch is one to measure on."""
        if not self._due(trainer, batch_idx) or getattr(pl_module, "adversary", None) is None:
            return
        if pl_module.signal(trainer.current_epoch):
            precision = trainer.precision_plugin
            with precision.forward_context():
                self._seen.append(_lifts(pl_module, precision.convert_input(batch), batch_idx))

    def _due(self, trainer: Trainer, batch_idx: int) -> bool:
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return False
        return is_measured(batch_idx, trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log, and name what is wrong, once."""
        if not self._seen:
            return
        lifts = trainer.strategy.reduce(torch.stack(self._seen), reduce_op="mean").cpu()
        self._seen.clear()
        self._window.append(lifts)
        numbers = advantage_statistics(torch.cat(list(self._window)))
        means = lifts.mean(dim=(0, 2)).tolist()
        raw = dict(zip(("lift", "lift_blocks", "lift_others"), means, strict=True))
        pl_module.log_dict({f"adversary/{name}": value for name, value in (numbers | raw).items()})
        if len(self._window) < EPOCHS or not pl_module.adversary.learned():
            return  # Too early to say, or masks that nobody learns, which are as they are by design.
        for finding in diagnose_advantage(numbers):
            if finding.kind not in self._warned:
                self._warned.add(finding.kind)
                rank_zero_warn(f"Epoch {trainer.current_epoch}: {finding}")


def _lifts(model: LightningModule, batch: Any, batch_idx: int) -> Tensor:
    """Return the lifts of one batch ``(3, N)``, and leave no trace."""
    devices = [model.device] if model.device.type == "cuda" else []
    with (
        torch.no_grad(),
        # Half a per cent of a loss in half precision is rounding, and as much as a lift.
        torch.autocast(model.device.type, enabled=False),
        torch.random.fork_rng(devices),
        quiet(model),
        model.quiet_loss(batch, batch_idx) as loss,
    ):

        def paired(views: Views) -> Scalar:
            # A host that draws numbers in its objective draws the same for all masks.
            with torch.random.fork_rng(devices):
                return loss(views)

        generator = model.random_stream("advantage", batch_idx)
        return measure_lifts(model.adversary.game, paired, loss.clean, model.side, generator=generator)
