"""The learning rate schedule of the host: a linear warm-up, then half a cosine."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Number = int | float
"""Configurations write 0 where they mean 0.0."""


def warmup_cosine(
    step: int,
    *,
    base: Number,
    start: Number,
    end: Number,
    warmup: Number,
    total: Number,
) -> Number:
    r"""Return the learning rate after ``step`` steps.

    With warm-up length :math:`w` and horizon :math:`T`,

    .. math::
        \eta_t = \begin{cases}
            s + \frac{t}{w - 1} (b - s) & t < w \\
            e + \frac{b - e}{2} \left(1 + \cos \pi \frac{t - w}{T - w}\right) & t \ge w.
        \end{cases}

    The last warm-up step already runs at ``base``. Without warm-up the schedule begins at ``base``,
    and beyond the horizon it stays at ``end``.

    Args:
        step: Steps taken so far, in the unit of ``warmup`` and ``total``.
        base: The highest learning rate.
        start: The learning rate of the first warm-up step.
        end: The learning rate at the horizon.
        warmup: Length of the warm-up.
        total: The horizon, warm-up included.

    Example:
        >>> [warmup_cosine(t, base=1.0, start=0.0, end=0.0, warmup=3, total=5) for t in range(6)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]

    References:
        Loshchilov and Hutter, `SGDR <https://arxiv.org/abs/1608.03983>`_, ICLR 2017, for the
        cosine.
    """
    if step < warmup:
        return start + step / max(warmup - 1, 1) * (base - start)
    progress = min((step - warmup) / (total - warmup), 1.0) if total > warmup else 1.0
    return end + (base - end) * (1 + math.cos(math.pi * progress)) / 2


class LinearWarmupCosineAnnealingLR(LRScheduler):
    """Apply :func:`warmup_cosine` to every parameter group, from that group's own learning rate.

    Name and arguments are those of the scheduler that the release of the host imports from
    lightning-bolts, in whose place it stands.

    Args:
        optimizer: Its groups' learning rates are the highest ones.
        warmup_epochs: Length of the warm-up, in calls of ``step``.
        max_epochs: The horizon, in calls of ``step``.
        warmup_start_lr: Where every group begins.
        eta_min: Where every group ends.
        last_epoch: Calls of ``step`` so far; -1 for none.
    """

    def __init__(  # noqa: PLR0917 - the signature is lightning-bolts'
        self,
        optimizer: Optimizer,
        warmup_epochs: Number,
        max_epochs: Number,
        warmup_start_lr: Number = 0.0,
        eta_min: Number = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.warmup_start_lr = warmup_start_lr
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Number]:
        """Return the learning rate of each group; in closed form, so that it resumes exactly."""
        return [
            warmup_cosine(
                self.last_epoch,
                base=base,
                start=self.warmup_start_lr,
                end=self.eta_min,
                warmup=self.warmup_epochs,
                total=self.max_epochs,
            )
            for base in self.base_lrs
        ]
