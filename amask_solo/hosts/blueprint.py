"""What a backbone is built from, so that whoever has its tensors can build it again."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from amask_solo.hosts.timm_names import is_resnet, is_timm

CIFAR = ("cifar10", "cifar100")
"""Data sets for which the host gives a ResNet its small stem."""

PRETRAINED = "pretrained"
"""The key of ``backbone.kwargs`` that says where the first weights come from, not what the network is."""


class Blueprint(NamedTuple):
    """What a backbone is built from.

    Attributes:
        arch: Its name: the host's, or timm's behind ``timm/``.
        kwargs: What it is built with beyond its defaults; plain values.
        small_stem: Whether it is a ResNet whose first convolution keeps the size of the images, without pooling.
    """

    arch: str
    kwargs: Mapping[str, Any] = MappingProxyType({})
    small_stem: bool = False

    @property
    def timm(self) -> bool:
        """Whether timm builds it, not the host."""
        return is_timm(self.arch)

    @property
    def untrained(self) -> "Blueprint":
        """The same network with fresh weights, for which nothing is downloaded."""
        return self._replace(kwargs={key: value for key, value in self.kwargs.items() if key != PRETRAINED})


def blueprint(cfg: DictConfig) -> Blueprint:
    """Return what the backbone of a method is built from, whose configuration has the current host's schema."""
    kwargs = OmegaConf.select(cfg, "backbone.kwargs")
    plain: Any = OmegaConf.to_container(kwargs, resolve=True) if kwargs else {}
    small = OmegaConf.select(cfg, "data.dataset") in CIFAR and is_resnet(cfg.backbone.name)
    return Blueprint(cfg.backbone.name, plain, small)
