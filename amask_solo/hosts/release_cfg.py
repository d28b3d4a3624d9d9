"""Convert a cfg in the current host's schema to the arguments of the release's constructors."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.hosts.blueprint import blueprint
from amask_solo.hosts.methods import by_class

DEFAULTS: dict[str, Any] = {
    "backbone.kwargs": {},
    "optimizer.exclude_bias_n_norm_wd": False,
    "optimizer.kwargs": {},
    "accumulate_grad_batches": 1,
    "scheduler.lr_decay_steps": None,
    "scheduler.min_lr": 0.0,
    "scheduler.warmup_start_lr": 3e-5,
    "scheduler.warmup_epochs": 10,
    "scheduler.interval": "step",
    "knn_eval.enabled": False,
    "knn_eval.k": 20,
    "knn_eval.distance_func": "euclidean",
    "performance.disable_channel_last": False,
    "method_kwargs": {},
}
"""The current host's defaults for every method."""

MOMENTUM_DEFAULTS = {"momentum.base_tau": 0.99, "momentum.final_tau": 1.0, "momentum.classifier": False}


def fill_defaults(cfg: DictConfig, method: type) -> None:
    """Write the current host's defaults into the cfg, in place."""
    defaults = DEFAULTS | (MOMENTUM_DEFAULTS if hasattr(method, "momentum_pairs") else {})
    defaults |= {f"method_kwargs.{name}": value for name, value in by_class(method).defaults.items()}
    for path, default in defaults.items():
        value = OmegaConf.select(cfg, path, default=default)
        # The host's recipes write None as a string.
        OmegaConf.update(cfg, path, None if value == "None" else value, force_add=True)


def to_kwargs(cfg: DictConfig, method: type) -> dict[str, Any]:
    """Return the constructor's arguments for a cfg with all defaults filled in."""
    plan = blueprint(cfg)
    own: Any = OmegaConf.to_container(cfg.method_kwargs, resolve=True)
    kwargs = {
        "encoder": plan.arch,
        # With `cifar`, the release also changes the window of a Swin; the current host only changes ResNets.
        "backbone_args": {**plan.kwargs, "cifar": plan.small_stem},
        **{key: cfg.data[key] for key in ("num_classes", "num_large_crops", "num_small_crops")},
        "max_epochs": cfg.max_epochs,
        "accumulate_grad_batches": cfg.accumulate_grad_batches or 1,
        **_optimizer_args(cfg),
        "scheduler": cfg.scheduler.name,
        **{key: cfg.scheduler[key] for key in ("lr_decay_steps", "min_lr", "warmup_start_lr", "warmup_epochs")},
        **own,
    }
    if hasattr(method, "momentum_pairs"):
        kwargs |= {
            "base_tau_momentum": cfg.momentum.base_tau,
            "final_tau_momentum": cfg.momentum.final_tau,
            "momentum_classifier": cfg.momentum.classifier,
        }
    return kwargs


def _optimizer_args(cfg: DictConfig) -> dict[str, Any]:
    extra: Any = OmegaConf.to_container(cfg.optimizer.kwargs, resolve=True)
    lars = cfg.optimizer.name == "lars"
    return {
        "optimizer": "sgd" if lars else cfg.optimizer.name,
        "lars": lars,
        "eta_lars": extra.pop("eta", 1e-3) if lars else 1e-3,
        "grad_clip_lars": lars and extra.pop("clip_lr", False),
        "exclude_bias_n_norm": lars and extra.pop("exclude_bias_n_norm", False),
        "extra_optimizer_args": extra,
        **{key: cfg.optimizer[key] for key in ("batch_size", "lr", "classifier_lr", "weight_decay")},
    }
