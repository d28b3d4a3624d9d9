"""Repairs, in a subclass, of what is broken in both generations of the host."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError
from torch import Tensor, nn

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import PRETRAINED, Blueprint
from amask_solo.hosts.knn import WeightedKNN
from amask_solo.hosts.names import is_timm
from amask_solo.hosts.timm_backbones import build_backbone, no_weights
from amask_solo.layout import PREFIX

STATE = "amask_host"
"""The key of a checkpoint with the state that the host does not save."""

VIEW_FILTER = "view_filter"
"""The key of the filter that all views of a run pass last, in the configuration and in the state above."""


@contextmanager
def construction(cfg: DictConfig, stand_in: str) -> Iterator[None]:
    """Change the cfg to what the host's constructor expects, and change it back when the context ends.

    The host writes its defaults into the cfg, which must not be in struct mode for this. It chooses the ViT variant by
    the exact name of the method, and would silently build the wrong one for ``amask_mocov3``. Its kNN metric cannot be
    constructed (see :class:`WeightedKNN`). It asserts that it knows the backbone, so ``stand_in``, the name of one of
    its own, replaces that of timm's (see :attr:`Repairs.base_model`).

    Raises:
        UserError: If a key is missing.
    """
    shown: dict[str, Any] = {}
    if cfg.get("method") is not None:
        shown["method"] = cfg.method.removeprefix(PREFIX)
    if OmegaConf.select(cfg, "knn_eval.enabled"):
        shown["knn_eval.enabled"] = False
    if is_timm(cfg.backbone.name):
        shown["backbone.name"] = stand_in
    own = {key: OmegaConf.select(cfg, key) for key in shown}
    with open_dict(cfg):
        try:
            for key, value in shown.items():
                OmegaConf.update(cfg, key, value)
            yield
        except (ConfigAttributeError, ConfigKeyError) as error:
            raise UserError(f"The configuration lacks '{error.full_key}'.") from error
        finally:
            for key, value in own.items():
                OmegaConf.update(cfg, key, value)


def _of_labeled(out: dict[str, Any], targets: Tensor) -> dict[str, Any]:
    """Let the class loss and the accuracies of a batch be those of its images with a label; 0 if none has one.

    The host counts an image without a label as an error, and its mean loss over no images is NaN.
    """
    if "loss" in out:
        labeled = (targets != -1).sum()
        out["loss"] = torch.where(labeled == 0, out["logits"].sum() * 0, out["loss"])
        out |= {name: out[name] * (len(targets) / labeled.clamp(min=1)) for name in ("acc1", "acc5")}
    return out


class Repairs(LightningModule):
    """A mixin that precedes a host's method among the bases of a leaf class; ``super()`` is the host."""

    # The host's, as far as they are used here.
    cfg: DictConfig
    num_classes: int
    momentum_classifier: nn.Module | None
    momentum_updater: Any
    assignments: Tensor

    momentum_forward_name: str
    blueprint: Blueprint
    _resumed: dict[str, Any] = {}  # noqa: RUF012 - never changed in place
    _late_buffers: dict[str, Tensor] = {}  # noqa: RUF012 - never changed in place

    @property
    def base_model(self) -> Callable[..., nn.Module]:
        """The function that builds the backbone and the teacher's: the host's own, or timm's.

        The host takes the function from its table and stores it here before calling it; the setter may replace it.
        """
        return self._base_model

    @base_model.setter
    def base_model(self, chosen: Callable[..., nn.Module]) -> None:
        plan = self.blueprint

        def build(*arguments: Any, **kwargs: Any) -> nn.Module:
            if plan.timm:  # the host passes the arguments of its own backbone
                return build_backbone(plan)
            try:
                return chosen(*arguments, **kwargs)
            except Exception as error:  # whatever a download raises
                if not kwargs.get(PRETRAINED):
                    raise
                raise no_weights(plan.arch, error) from error

        self._base_model = build

    def add_knn(self, cfg: DictConfig) -> None:
        """Add the online kNN, which :func:`construction` hides from the constructor."""
        self.knn_eval = bool(OmegaConf.select(cfg, "knn_eval.enabled", default=False))
        if self.knn_eval:
            self.knn = WeightedKNN(k=cfg.knn_eval.k, distance=cfg.knn_eval.distance_func)

    def _base_shared_step(self, x: Tensor, targets: Tensor) -> dict[str, Any]:
        host: Any = super()
        return _of_labeled(host._base_shared_step(x, targets), targets)

    def _shared_step_momentum(self, x: Tensor, targets: Tensor) -> dict[str, Any]:
        if self.momentum_classifier is None or self.num_classes >= 5:
            host: Any = super()
            return _of_labeled(host._shared_step_momentum(x, targets), targets)
        # The host asks for the top 5 of fewer classes: "selected index k out of range".
        out = getattr(self, self.momentum_forward_name)(x)
        logits = self.momentum_classifier(out["feats"])
        right = (logits.argmax(dim=1) == targets).float().mean() * 100
        everything = (targets >= 0).float().mean() * 100
        out |= {
            "logits": logits,
            "loss": F.cross_entropy(logits, targets, ignore_index=-1),
            "acc1": right[None],
            "acc5": everything[None],
        }
        return _of_labeled(out, targets)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:  # noqa: ARG002
        """Weigh a batch by the number of its images with a label in the means of the epoch."""
        host: Any = super()
        outputs = host.validation_step(batch, batch_idx)
        # Images of which none has a label have a mean, too.
        weight = (batch[1] != -1).sum(dtype=torch.float32).clamp(min=1e-9)
        for metrics in outputs if isinstance(outputs, tuple) else (outputs,):
            if isinstance(metrics, dict) and "batch_size" in metrics:
                metrics["batch_size"] = weight  # in place, since the current host keeps it
        return outputs

    def on_train_epoch_start(self) -> None:
        """Let DeepCluster v2 cluster on the device of its memory.

        The host makes the assignments on the CPU and indexes them by tensors of the device. With several processes, it
        takes those to the CPU too.
        """
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        with torch.device(self.device if alone else "cpu"):
            super().on_train_epoch_start()
        if hasattr(self, "assignments"):
            self.assignments = self.assignments.to(self.device)

    def on_train_start(self) -> None:
        """Restore what the host makes anew when training or an epoch starts, if a resumed run goes on within one."""
        super().on_train_start()
        buffers = dict(self.named_buffers(recurse=False))
        for name, saved in self._late_buffers.items():
            if name not in buffers or buffers[name].shape != saved.shape:
                raise UserError(
                    f"The checkpoint's '{name}' {tuple(saved.shape)} does not fit this run. "
                    "Resume with the same method, data set, batch size and number of devices."
                )
            buffers[name].copy_(saved)
        if "last_step" in self._resumed:
            self.last_step = self._resumed["last_step"]
        if "assignments" in self._resumed:
            self.assignments = self._resumed["assignments"].to(self.device)
        elif self.trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start()  # Lightning does not call it in an epoch that has begun
        self._late_buffers, self._resumed = {}, {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state that a resume needs, and remove objects that would make the file unreadable."""
        super().on_save_checkpoint(checkpoint)
        # A static learning rate is a partial with scheduler and optimizer in it: `torch.load` refuses it (weights_only)
        # or recurses without end. Every run makes it anew, so it need not be saved.
        for scheduler in checkpoint.get("lr_schedulers", ()):
            scheduler.pop("get_lr", None)
        plan = self.blueprint.untrained
        state: dict[str, Any] = {
            "method": str(self.cfg.get("method")),
            "base_class": self.cfg.get("base_class"),
            "backbone": plan.arch,
            "backbone_kwargs": dict(plan.kwargs),
            "small_stem": plan.small_stem,
        }
        if hasattr(self, "momentum_updater"):
            state["tau"] = float(self.momentum_updater.cur_tau)
            state["last_step"] = int(getattr(self, "last_step", 0))
        if hasattr(self, "assignments"):
            state["assignments"] = self.assignments  # DeepCluster v2 makes them once an epoch, with its prototypes
        for key in (VIEW_FILTER, "images"):
            if (node := OmegaConf.select(self.cfg, key)) is not None:
                state[key] = OmegaConf.to_container(node, resolve=True)
        checkpoint[STATE] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore tau, which would start anew, and set aside buffers that do not exist yet.

        DeepCluster-v2 and SwAV register their memory in ``on_train_start``, and All4One fills a cache in its first
        forward pass. If they were loaded now, torch would report "unexpected keys".
        """
        super().on_load_checkpoint(checkpoint)
        state, known = checkpoint["state_dict"], self.state_dict()
        unknown = [name for name in state if name not in known]
        self._late_buffers = {name: state.pop(name) for name in unknown if "." not in name}
        modules = dict(self.named_modules())
        for name in unknown:
            owner, _, buffer = name.rpartition(".")
            if owner in modules and buffer in modules[owner]._buffers:  # a cache that is still empty
                state.pop(name, None)
        self._resumed = checkpoint.get(STATE, {})
        if "tau" in self._resumed:
            self.momentum_updater.cur_tau = self._resumed["tau"]
