"""The release of the host: solo-learn 1.0.2 from PyPI, written for Lightning 1.4 and torch 1.9."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import blueprint
from amask_solo.hosts.methods import by_class
from amask_solo.hosts.optimizers import configure
from amask_solo.hosts.refusals import check
from amask_solo.hosts.repairs import Repairs, construction

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


class CholeskyWhitening(nn.Module):
    r"""Whiten a batch of features by the Cholesky factor of their covariance.

    With centered rows :math:`x_i` and :math:`L L^\top = (1 - \epsilon) \operatorname{cov}(x) + \epsilon I`, the rows
    become :math:`L^{-1} x_i`. The release's layer calls ``torch.cholesky``, which torch no longer has.

    References:
        Ermolov et al., `Whitening for Self-Supervised Representation Learning
        <https://arxiv.org/abs/2007.06346>`_, ICML 2021.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return the whitened features, in single precision."""
        with torch.autocast(features.device.type, enabled=False):
            centered = (features - features.mean(dim=0)).float()
            covariance = centered.T @ centered / (len(centered) - 1)
            identity = torch.eye(len(covariance), device=covariance.device)
            # `cholesky` would wait for the device to check a matrix that is positive definite by construction.
            factor = torch.linalg.cholesky_ex((1 - self.eps) * covariance + self.eps * identity)
            return torch.linalg.solve_triangular(factor.L, centered.T, upper=False).T


class ReleaseRepairs(Repairs):
    """The repairs that only the release needs."""

    _SUPPORTED_ENCODERS: Sequence[str]
    momentum_forward_name = "base_momentum_forward"

    # Lightning 2 refuses a model with this hook; `super()` still finds the host's.
    validation_epoch_end = None

    def __init__(self, cfg: DictConfig) -> None:
        check(cfg, self._SUPPORTED_ENCODERS)
        self.blueprint = blueprint(cfg)
        with construction(cfg, "vit_tiny"):
            fill_defaults(cfg, type(self))
            try:
                super().__init__(**to_kwargs(cfg, type(self)))
            except TypeError as error:
                if "required positional argument" not in str(error):
                    raise
                raise UserError(f"{error}. Add what is missing under method_kwargs.") from error
        self.cfg, self.encoder_name = cfg, cfg.backbone.name
        self.add_knn(cfg)
        self._validation_outputs: list[Any] = []
        whitening: Any = getattr(self, "whitening", None)
        if type(whitening).__name__ == "Whitening2d":
            self.whitening = CholeskyWhitening(whitening.eps)

    def configure_optimizers(self) -> Any:
        """Follow the cfg as the current host does, unless the method has its own optimizer."""
        own = super().configure_optimizers
        return configure(self) if own.__qualname__ == "BaseMethod.configure_optimizers" else own()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Keep the outputs, which Lightning 2 no longer collects."""
        outputs = super().validation_step(batch, batch_idx, dataloader_idx)
        self._validation_outputs.append(outputs)
        return outputs

    def on_validation_epoch_end(self) -> None:
        """Call the hook that Lightning 2 no longer calls."""
        host: Any = super()
        host.on_validation_epoch_end()
        host.validation_epoch_end(self._validation_outputs)
        self._validation_outputs = []

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Pass the loader's index to the host, since Lightning 2 no longer does, and let tau rise by the steps.

        The host counts batches of the loader, also those that are left out or that the last step of an epoch lacks.
        """
        hook = super().on_train_batch_end
        hook(outputs, batch, batch_idx, *[0] * (len(inspect.signature(hook).parameters) - 3))
        steps = self.trainer.estimated_stepping_batches
        if hasattr(self, "momentum_updater") and 0 < steps < math.inf:
            self.momentum_updater.update_tau(self.trainer.global_step, steps)

    def clip_gradients(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Call DINO's own method for a number, and Lightning's, which it hides, for an optimizer."""
        if isinstance(optimizer, (int, float)):
            host: Any = super()
            host.clip_gradients(optimizer)
        else:
            LightningModule.clip_gradients(self, optimizer, *args, **kwargs)


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
