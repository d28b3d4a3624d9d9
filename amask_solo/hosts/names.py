"""What the host has, by name: what was imported of it, and what its source says before anything is imported."""

import sys

from amask_solo.hosts.methods import METHODS
from amask_solo.layout import PREFIX
from amask_solo.signatures import read_keys

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
    """Return what the imported host has registered: its methods, not its base classes or our masked ones."""
    methods = sys.modules[REGISTRY].METHODS
    return {n: method for n, method in methods.items() if n not in NOT_METHODS and not n.startswith(PREFIX)}


def written_methods() -> tuple[str, ...]:
    """Return the names of the methods in the source of the installed host; none if it is not as expected."""
    names = tuple(name for name in read_keys(REGISTRY, "METHODS") or () if name not in NOT_METHODS)
    options = tuple(name for name, row in METHODS.items() if row.option_of and name not in names)
    return names + options if names else ()


def written_backbones() -> tuple[str, ...]:
    """Return the names of the backbones in the source of the installed host; none if it is not as expected."""
    names = (read_keys("solo.methods.base", variable) for variable in ("_BACKBONES", "_SUPPORTED_ENCODERS"))
    return next((found for found in names if found), ())
