"""Measures how strong the adversary is, on batches that the encoder has not learned from yet."""

from collections import deque
from math import isfinite
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from amask_solo._random import untouched
from amask_solo._types import Scalar, Views
from amask_solo.game.advantage import Lifts, advantage_statistics, diagnose_advantage, measure_lifts

EPOCHS = 5
"""The ratios are of the sums over so many measured epochs, the last ones: those of a single batch are mostly noise."""

STRIDE = 4
"""One batch is measured in so many times the forward passes that it takes, each a sixth of a step: 4 % of the time."""

MOST = 16
"""Not more batches than this are measured in an epoch."""


def is_measured(batch_idx: int, batches: int | float, *, stride: int) -> bool:
    """Return whether a batch of an epoch is measured on: the last one of each of several equal stretches.

    Args:
        batch_idx: Its number, from 0.
        batches: How many there are in the epoch; infinity if that is not known.
        stride: The length of a stretch. There is at least one, and two if the epoch has 16 batches.

    Example:
        >>> [[n for n in range(90) if is_measured(n, batches, stride=30)] for batches in (10, 30, 90, float("inf"))]
        [[9], [14, 29], [29, 59, 89], [0, 30, 60]]
    """
    if not isfinite(batches):
        return batch_idx % stride == 0
    count = min(MOST, max(1, min(2, int(batches) // 8), int(batches) // stride))
    return batch_idx + 1 in {int(batches) * stretch // count for stretch in range(1, count + 1)}


class AdvantageMonitor(Callback):
    """Log ``adversary/advantage`` and ``adversary/attention``, in all and by mask, and name masks that are too easy.

    What they are is said in :mod:`amask_solo.game.advantage`. They are NaN where the game's rivals do not clearly raise
    the loss, and in the first epoch if it has one measured batch; ``..._error`` is the standard error of each. Beside
    them, of this epoch alone: ``adversary/lift``, ``adversary/lift_blocks`` and ``adversary/lift_others``, what the
    masks, the blocks, and the masks of other images add to the loss.

    Measured are some batches of the epoch, see :func:`is_measured`, each right before the step that learns from it. The
    networks are in training mode, as the players see them. It leaves no trace: parameters, gradients, buffers and
    random streams are as without it.

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

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Measure, if this batch is one to measure on."""
        adversary = getattr(pl_module, "adversary", None)
        epoch = trainer.current_epoch + 1
        if adversary is None or (epoch % self.every and epoch != trainer.max_epochs):
            return
        stride = STRIDE * (2 + 3 * adversary.game.masker.num_masks)
        due = is_measured(batch_idx, trainer.num_training_batches, stride=stride)
        if due and pl_module.plays(trainer.current_epoch):
            precision = trainer.precision_plugin
            with precision.forward_context():
                self._seen.append(_lifts(pl_module, precision.convert_input(batch), batch_idx))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
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


def _lifts(model: Any, batch: Any, batch_idx: int) -> Tensor:
    """Return the lifts of one batch ``(3, N)``, and leave no trace."""
    # Half a per cent of a loss in half precision is rounding, and as much as a lift.
    in_full = torch.autocast(model.device.type, enabled=False)
    with in_full, model.observed_loss(batch, batch_idx) as loss:

        def paired(views: Views) -> Scalar:
            # A host that draws numbers in its objective draws the same for all masks.
            with untouched(model.device):
                return loss(views)

        generator = model.random_stream("advantage", batch_idx)
        return measure_lifts(model.adversary.game, paired, loss.clean, model.side, generator=generator)
