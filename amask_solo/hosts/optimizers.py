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
from amask_solo.hosts.schedulers import LinearWarmupCosineAnnealingLR

Rate = float | Tensor
"""A learning rate, as schedules of torch return it."""


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
    scheduler = LinearWarmupCosineAnnealingLR(
        optimizer,
        warmup_epochs=module.warmup_epochs * total / module.max_epochs,
        max_epochs=total,
        warmup_start_lr=module.warmup_start_lr,
        eta_min=module.min_lr,
    )
    return scheduler, cfg.interval


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
