"""The host's learning rate schedule: a linear warm-up, then half a cosine."""

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amask_solo.schedules import schedule_factor

Number = int | float
"""Configurations may write 0 for 0.0."""


class LinearWarmupCosineAnnealingLR(LRScheduler):
    r"""Raise each group's learning rate linearly to its base rate, then lower it along half a cosine.

    With the base rate :math:`b`, first rate :math:`s`, last rate :math:`e`, warm-up length :math:`w` and horizon
    :math:`T`, the rate is

    .. math::
        \eta_t = \begin{cases}
            s + \frac{t}{w - 1} (b - s) & t < w \\
            e + \frac{b - e}{2} \left(1 + \cos \pi \frac{t - w}{T - w}\right) & t \ge w.
        \end{cases}

    The last warm-up step already runs at the base rate. Without warm-up the schedule begins at the base rate. Beyond
    the horizon it stays at the last rate. The class replaces the scheduler of lightning-bolts, which the release of the
    host imports, and has its name and arguments.

    Args:
        optimizer: The optimizer; the learning rates of its groups are the base rates.
        warmup_epochs: Length of the warm-up, in calls of ``step``.
        max_epochs: The horizon, in calls of ``step``, warm-up included.
        warmup_start_lr: The first rate of every group.
        eta_min: The last rate of every group.
        last_epoch: Calls of ``step`` so far; -1 for none.

    References:
        Loshchilov and Hutter, `SGDR <https://arxiv.org/abs/1608.03983>`_, ICLR 2017, for the cosine.
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

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group, in closed form so that it resumes exactly."""
        step, warmup, left = self.last_epoch, self.warmup_epochs, self.max_epochs - self.warmup_epochs
        if step < warmup:
            low, factor = self.warmup_start_lr, step / max(warmup - 1, 1)
        else:
            progress = min((step - warmup) / left, 1.0) if left > 0 else 1.0
            low, factor = self.eta_min, schedule_factor(progress, schedule="cosine", warmup=0.0)
        return [low + factor * (base - low) for base in self.base_lrs]
