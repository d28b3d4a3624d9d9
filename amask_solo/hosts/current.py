"""The current host: solo-learn from GitHub (1.0.3 to 1.0.6), whose methods take one ``cfg``."""

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo.hosts.blueprint import blueprint
from amask_solo.hosts.optimizers import LinearWarmupCosineAnnealingLR
from amask_solo.hosts.refusals import check
from amask_solo.hosts.repairs import Repairs, construction


class CurrentRepairs(Repairs):
    """The repairs that only the current host needs."""

    _BACKBONES: Mapping[str, Any]
    num_crops: int
    head: nn.Module
    dino_loss_func: Any
    momentum_forward_name = "momentum_forward"

    def __init__(self, cfg: DictConfig) -> None:
        check(cfg, self._BACKBONES)
        self.blueprint = blueprint(cfg)
        # The host changes nothing in these two backbones. MoCo v3 recognizes a ResNet, which gets another projector, by
        # its name.
        with construction(cfg, "wide_resnet28w2" if "resnet" in cfg.backbone.name else "vit_tiny"):
            if "momentum" not in cfg and hasattr(type(self), "momentum_pairs"):
                cfg.momentum = {}  # the host fills in its defaults, but only into an existing node
            super().__init__(cfg)
        self.backbone_name = cfg.backbone.name
        self.add_knn(cfg)
        if hasattr(self, "dino_loss_func"):
            # The loss cuts the student's outputs into so many parts, one for each view.
            self.dino_loss_func.num_large_crops = self.num_crops

    def multicrop_forward(self, X: Tensor) -> dict[str, Any]:  # noqa: N803 - the host's name
        """Pass DINO's small views through the head, too; the host would leave them out of the loss."""
        host: Any = super()
        out = host.multicrop_forward(X)
        return out | {"z": self.head(out["feats"])} if hasattr(self, "dino_loss_func") else out

    def configure_optimizers(self) -> Any:
        """Take the schedule in closed form.

        The host's is wrong where a warm-up is no whole number of steps, and, where there is none, starts all groups at
        ``optimizer.lr``, so that ``classifier_lr`` would be ignored for the whole run.
        """
        with patch("solo.methods.base.LinearWarmupCosineAnnealingLR", LinearWarmupCosineAnnealingLR):
            return super().configure_optimizers()
