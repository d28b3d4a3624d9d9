"""The current host's optimizers and schedules for the release, which lacks some of them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

from amask_solo.errors import unknown_key
from amask_solo.hosts.names import OPTIMIZERS, SCHEDULERS
from amask_solo.schedules import schedule_factor

Rate = float | Tensor
"""A learning rate, as schedules of torch return it."""


class LinearWarmupCosineAnnealingLR(LRScheduler):
    r"""Raise each group's learning rate linearly to its base rate, then lower it along half a cosine.

    With the base rate :math:`b`, first rate :math:`s`, last rate :math:`e`, warm-up length :math:`w` and horizon
    :math:`T`, the rate is

    .. math::
        \eta_t = \begin{cases}
            s + \frac{t}{w - 1} (b - s) & t < w \\
            e + \frac{b - e}{2} \left(1 + \cos \pi \frac{t - w}{T - w}\right) & t \ge w.
        \end{cases}

    The last warm-up step already runs at the base rate, unless it is the only one. Beyond the horizon the rate stays at
    the last one. The class replaces the scheduler of lightning-bolts, which both generations of the host have, and has
    its name and arguments; "epochs" are calls of ``step``. A warm-up is rounded to whole ones: theirs goes step by step
    from rate to rate, by a slope that is right for whole ones alone, and ends a longer one at a multiple of the base
    rate, for the rest of the run.

    References:
        Loshchilov and Hutter, `SGDR <https://arxiv.org/abs/1608.03983>`_, ICLR 2017, for the cosine.
    """

    def __init__(  # noqa: PLR0917 - the signature is lightning-bolts'
        self,
        optimizer: Optimizer,
        warmup_epochs: int | float,
        max_epochs: int | float,
        warmup_start_lr: int | float = 0.0,
        eta_min: int | float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.warmup_epochs = round(warmup_epochs)
        self.max_epochs = max_epochs
        self.warmup_start_lr = warmup_start_lr
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """Return the learning rate of each group, in closed form so that it resumes exactly."""
        step, warmup, left = self.last_epoch, self.warmup_epochs, self.max_epochs - self.warmup_epochs
        if step < warmup:
            low, factor = self.warmup_start_lr, step / max(warmup - 1, 1)
        else:
            progress = (step - warmup) / left if left > 0 else 1.0
            low, factor = self.eta_min, schedule_factor(progress, schedule="cosine", warmup=0.0)
        return [low + factor * (base - low) for base in self.base_lrs]


def configure(module: Any) -> Optimizer | tuple[list[Optimizer], list[dict[str, Any]]]:
    """Return the optimizer and the schedule that ``module.cfg`` describes, for a method of the release.

    The release's own version only has schedules by epoch, cannot exclude biases from weight decay, and wraps SGD for
    LARS in a way that Lightning 2 turns into plain SGD without an error.

    Raises:
        UserError: If the optimizer or the scheduler is unknown.
    """
    cfg = module.cfg
    if cfg.optimizer.name not in OPTIMIZERS:
        raise unknown_key(cfg.optimizer.name, OPTIMIZERS, "optimizer.name")
    groups = module.learnable_params
    if cfg.optimizer.exclude_bias_n_norm_wd:
        groups = without_bias_decay(groups)
    static = [index for index, group in enumerate(groups) if group.pop("static_lr", False)]
    optimizer = resolve_name(OPTIMIZERS[cfg.optimizer.name])(
        groups, lr=module.lr, weight_decay=module.weight_decay, **cfg.optimizer.kwargs
    )
    if cfg.scheduler.name.lower() == "none":
        return optimizer
    scheduler, interval = _schedule(module, optimizer)
    if static:  # SimSiam's predictor, which the schedule leaves alone
        # No schedule needs to know of it.
        scheduler.get_lr = partial(hold_lr, scheduler.get_lr, static, module.lr)  # type: ignore[method-assign]
    return [optimizer], [{"scheduler": scheduler, "interval": interval, "frequency": 1}]


def _schedule(module: Any, optimizer: Optimizer) -> tuple[LRScheduler, str]:
    cfg = module.cfg.scheduler
    if cfg.name == "step":
        return MultiStepLR(optimizer, list(cfg.lr_decay_steps)), "epoch"
    if cfg.name != "warmup_cosine":
        raise unknown_key(cfg.name, SCHEDULERS, "scheduler.name")
    total = module.trainer.estimated_stepping_batches if cfg.interval == "step" else module.max_epochs
    warmup = module.warmup_epochs * total / module.max_epochs
    rates = {"warmup_start_lr": module.warmup_start_lr, "eta_min": module.min_lr}
    return LinearWarmupCosineAnnealingLR(optimizer, warmup, total, **rates), cfg.interval


def end_early(configured: Any, share: float) -> Any:
    """Return what ``configure_optimizers`` has made, with rates that end before the last share of training."""
    if share:
        cosine = configured[1][0]["scheduler"]
        cosine.max_epochs = round((1 - share) * cosine.max_epochs)
        cosine.get_lr = partial(_ended, cosine, cosine.get_lr)
    return configured


def _ended(cosine: Any, get_lr: Callable[[], list[Rate]]) -> list[Rate]:
    """Return the rates of a schedule, and its lowest one after its end, also for groups that it leaves alone."""
    return get_lr() if cosine.last_epoch < cosine.max_epochs else [cosine.eta_min] * len(cosine.base_lrs)


def hold_lr(get_lr: Callable[[], list[Rate]], groups: Sequence[int], lr: Rate) -> list[Rate]:
    """Return the learning rates of a schedule, but for groups whose rate stays; a function, so that it is pickled."""
    return [lr if index in groups else scheduled for index, scheduled in enumerate(get_lr())]


def without_bias_decay(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split each group in two: vectors without weight decay, and all other tensors unchanged."""
    split = []
    for group in groups:
        parameters = list(group["params"])
        split.append({**group, "params": [p for p in parameters if p.ndim > 1]})
        split.append({**group, "params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0})
    return [group for group in split if group["params"]]
