"""Checks whether a backbone can be built again or exported, by its name alone."""

from typing import Literal, get_args

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import RESNETS, TIMM_NAMES
from amask_solo.hosts.timm_names import is_timm

Format = Literal["torchvision", "timm", "safetensors"]
COUNTERPARTS = {"torchvision": RESNETS, "timm": tuple(TIMM_NAMES)}
"""Format -> the host's backbones that the library of this name has. The format safetensors takes any backbone."""


def check_arch(arch: str) -> None:
    """Raise a ``UserError`` about an unknown backbone of the host; timm checks its own names when it builds them."""
    if not is_timm(arch) and arch not in TIMM_NAMES:
        raise unknown_key(arch, TIMM_NAMES, "arch", kind="choice")


def check_format(name: object) -> None:
    """Raise a ``UserError`` about an unknown format of an export."""
    if name not in get_args(Format):
        raise unknown_key(str(name), get_args(Format), "format", kind="choice")


def check_counterpart(arch: str | None, target: Format) -> None:
    """Raise a ``UserError`` that names a format that fits, if the library of a format does not have the backbone."""
    known, of_timm = COUNTERPARTS.get(target), arch is not None and is_timm(arch)
    if known is not None and arch not in known and not (of_timm and target == "timm"):
        other = "timm or format=safetensors" if of_timm or arch in TIMM_NAMES else "safetensors"
        raise UserError(
            f"{target} has no counterpart of the backbone '{arch or 'unknown'}', only of "
            f"{', '.join(known)}. Use format={other}."
        )
