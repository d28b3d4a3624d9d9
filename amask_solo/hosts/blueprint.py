"""The description of a backbone that, with its tensors, suffices to build it again."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from amask_solo.hosts.names import is_resnet, is_timm

CIFAR = ("cifar10", "cifar100")
"""The data sets for which the host gives ResNets the small stem."""

PRETRAINED = "pretrained"
"""The key of ``backbone.kwargs`` that selects the initial weights and does not change the network."""


class Blueprint(NamedTuple):
    """The description of a backbone.

    Attributes:
        arch: The host's name of the backbone, or ``timm/`` and timm's name.
        kwargs: Arguments that differ from the defaults; plain values.
        small_stem: Whether it is a ResNet whose first convolution has stride 1 and is not followed by pooling.
    """

    arch: str
    kwargs: Mapping[str, Any] = MappingProxyType({})
    small_stem: bool = False

    @property
    def timm(self) -> bool:
        """Whether timm builds the backbone."""
        return is_timm(self.arch)

    @property
    def untrained(self) -> "Blueprint":
        """The same network with fresh weights instead of downloaded ones."""
        return self._replace(kwargs={key: value for key, value in self.kwargs.items() if key != PRETRAINED})


def blueprint(cfg: DictConfig) -> Blueprint:
    """Return the description of the backbone in a configuration with the current host's schema."""
    kwargs = OmegaConf.select(cfg, "backbone.kwargs")
    plain: Any = OmegaConf.to_container(kwargs, resolve=True) if kwargs else {}
    small = OmegaConf.select(cfg, "data.dataset") in CIFAR and is_resnet(cfg.backbone.name)
    return Blueprint(cfg.backbone.name, plain, small)


def describes_export(said: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is what an exported backbone says of itself; see :mod:`amask_solo.hosts.exported`."""
    return said.keys() >= {"arch", "format"}
