"""Measure the strength of the adversary on batches right before the encoder learns from them."""

from collections import deque
from math import isfinite
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from amask_solo._random import untouched
from amask_solo._types import Scalar, Views
from amask_solo.callbacks.epochs import batches_of_epoch, is_due
from amask_solo.callbacks.game_monitor import Report
from amask_solo.game.advantage import Lifts, advantage_statistics, diagnose_advantage, measure_lifts

EPOCHS = 5
"""The number of measured epochs, the last ones, over which lifts are summed; ratios of single batches are noise."""

STRIDE = 4
"""A batch is measured every ``STRIDE`` times the number of forward passes that this takes. A forward pass is a sixth of
a step, so measuring takes 4 % of the time."""

MOST = 16
"""The largest number of batches that are measured in an epoch."""


def is_measured(batch_idx: int, batches: int | float, *, stride: int) -> bool:
    """Return whether a batch is measured: the last one of each of several equal stretches of the epoch.

    A stretch is ``stride`` batches long. There is at least one, and at least two in an epoch of 16 batches.

    Example:
        >>> [[n for n in range(90) if is_measured(n, batches, stride=30)] for batches in (10, 30, 90, float("inf"))]
        [[9], [14, 29], [29, 59, 89], [0, 30, 60]]
    """
    if not isfinite(batches):
        return batch_idx % stride == 0
    count = min(MOST, max(1, min(2, int(batches) // 8), int(batches) // stride))
    return batch_idx + 1 in {int(batches) * stretch // count for stretch in range(1, count + 1)}


class AdvantageMonitor(Callback):
    """Log ``adversary/advantage`` and ``adversary/attention``, overall and by mask, and report masks that are too easy.

    :mod:`amask_solo.game.advantage` defines both; ``..._error`` is the standard error of each. They are NaN if the
    random blocks (or the masks of other images) do not clearly raise the loss, and in the first epoch if only one batch
    is measured. ``adversary/lift``, ``adversary/lift_blocks`` and ``adversary/lift_others`` are the increases of the
    loss in this epoch by the masks, the blocks, and the masks of other images.

    Some batches of the epoch are measured (:func:`is_measured`), each right before the step that learns from it, with
    the networks in training mode as in the game. There are no side effects: parameters, gradients, buffers and random
    streams stay unchanged.

    Args:
        every: The number of epochs between two measured ones; the last epoch is always measured.

    Raises:
        ValueError: If ``every`` is not positive.
    """

    measures = ("adversary/advantage*", "adversary/attention*", "adversary/lift*")

    def __init__(self, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"Expected every to be at least 1, but got {every}.")
        self.every = every
        self._seen: list[Tensor] = []
        self._window: deque[Lifts] = deque(maxlen=EPOCHS)
        self._report = Report()

    def is_due(self, trainer: Trainer) -> bool:
        """Return whether the present epoch is measured."""
        return is_due(trainer, every=self.every)

    def state_dict(self) -> dict[str, Any]:
        """Return the lifts of the last epochs and of this one, for a resumed run."""
        return {"window": list(self._window), "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the lifts of the last epochs and of this one."""
        self._window.extend(state_dict["window"])
        self._seen = state_dict.get("seen", [])

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Measure the batch, if it is due."""
        adversary = getattr(pl_module, "adversary", None)
        if adversary is None or not self.is_due(trainer):
            return
        stride = STRIDE * (2 + 3 * adversary.game.masker.num_masks)
        due = is_measured(batch_idx, batches_of_epoch(trainer), stride=stride)
        if due and pl_module.plays(trainer.current_epoch):
            with trainer.precision_plugin.forward_context():
                self._seen.append(_lifts(pl_module, trainer.precision_plugin.convert_input(batch), batch_idx))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the ratios, and warn once about what is wrong."""
        if not self._seen:
            return
        lifts = trainer.strategy.reduce(
            torch.stack([lifts.to(pl_module.device) for lifts in self._seen]), reduce_op="mean"
        ).cpu()
        self._seen.clear()
        self._window.append(lifts)
        numbers = advantage_statistics(torch.cat(list(self._window)))
        means = lifts.mean(dim=(0, 2)).tolist()
        raw = dict(zip(("lift", "lift_blocks", "lift_others"), means, strict=True))
        pl_module.log_dict({f"adversary/{name}": value for name, value in (numbers | raw).items()})
        if len(self._window) < EPOCHS or not pl_module.adversary.learned():
            return  # It is too early, or the masks are not learned and so are as they are by design.
        self._report(diagnose_advantage(numbers), trainer)


def _lifts(model: Any, batch: Any, batch_idx: int) -> Tensor:
    """Return the lifts of one batch, ``(3, N)``, without side effects."""
    # Half a per cent of a loss in half precision is rounding, and as much as a lift.
    in_full = torch.autocast(model.device.type, enabled=False)
    with in_full, model.observed_loss(batch, batch_idx) as loss:

        def paired(views: Views) -> Scalar:
            # If a host draws random numbers in its objective, they are the same for all masks.
            with untouched(model.device):
                return loss(views)

        generator = model.random_stream("advantage", batch_idx)
        return measure_lifts(model.adversary.game, paired, loss.clean, model.side, generator=generator)
