"""The release of the host: solo-learn 1.0.2 from PyPI, written for Lightning 1.4 and torch 1.9."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import blueprint
from amask_solo.hosts.optimizers import configure
from amask_solo.hosts.refusals import check
from amask_solo.hosts.release_cfg import fill_defaults, to_kwargs
from amask_solo.hosts.repairs import Repairs, construction


class CholeskyWhitening(nn.Module):
    r"""Whiten a batch of features by the Cholesky factor of their covariance.

    With centered rows :math:`x_i` and :math:`L L^\top = (1 - \epsilon) \operatorname{cov}(x) + \epsilon I`, the rows
    become :math:`L^{-1} x_i`. This replaces the release's layer, which calls ``torch.cholesky``, now removed.

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
        """Pass the loader's index to the host, since Lightning 2 no longer does."""
        hook = super().on_train_batch_end
        hook(outputs, batch, batch_idx, *[0] * (len(inspect.signature(hook).parameters) - 3))

    def clip_gradients(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Call DINO's own method for a number, and Lightning's, which it hides, for an optimizer."""
        if isinstance(optimizer, (int, float)):
            host: Any = super()
            host.clip_gradients(optimizer)
        else:
            LightningModule.clip_gradients(self, optimizer, *args, **kwargs)
