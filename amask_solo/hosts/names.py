"""The names of the host's optimizers, schedulers, backbones and methods."""

import sys
from collections.abc import Iterable
from typing import Any

from amask_solo.layout import PREFIX

OPTIMIZERS = {
    "sgd": "torch.optim.SGD",
    "lars": "amask_solo.hosts.lars.LARS",
    "adam": "torch.optim.Adam",
    "adamw": "torch.optim.AdamW",
}
"""The host's name of an optimizer -> its class."""

SCHEDULERS = ("warmup_cosine", "step", "none")
RESNETS = ("resnet18", "resnet50")
TIMM_NAMES = {
    **{name: name for name in RESNETS},
    **{f"vit_{size}": f"vit_{size}_patch16_224" for size in ("tiny", "small", "base", "large")},
    **{f"swin_{size}": f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base", "large")},
    **{f"convnext_{size}": f"convnext_{size}" for size in ("tiny", "small", "base", "large")},
}
"""The host's name of a backbone -> timm's."""

REGISTRY = "solo.methods"
NOT_METHODS = ("base", "linear")


def base_methods() -> dict[str, type]:
    """Return the methods that the imported host has registered, without base classes and masked methods."""
    methods = sys.modules[REGISTRY].METHODS
    return {n: method for n, method in methods.items() if n not in NOT_METHODS and not n.startswith(PREFIX)}


def own_backbones(base: Any) -> Iterable[str]:
    """Return the names of the host's own backbones, from a table of its ``BaseMethod``."""
    return getattr(base, "_BACKBONES", None) or base._SUPPORTED_ENCODERS
