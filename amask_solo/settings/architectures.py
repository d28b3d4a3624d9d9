"""Which backbones can be built again or exported, by name: known before anything is read."""

from typing import Literal, get_args

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import RESNETS, TIMM_NAMES
from amask_solo.hosts.timm_names import is_timm

Format = Literal["torchvision", "timm", "safetensors"]
COUNTERPARTS = {"torchvision": RESNETS, "timm": tuple(TIMM_NAMES)}
"""Format -> the host's backbones that the library of this name has; tensors alone (safetensors) may be of any."""


def check_arch(arch: str) -> None:
    """Refuse a backbone that cannot be built again; whether timm has one of its own, it says when it builds it.

    Raises:
        UserError: If it is unknown; it names the nearest known one.
    """
    if not is_timm(arch) and arch not in TIMM_NAMES:
        raise unknown_key(arch, TIMM_NAMES, "arch", kind="choice")


def check_format(name: object) -> None:
    """Refuse an unknown format of an export.

    Raises:
        UserError: If it is unknown; it names the nearest known one.
    """
    if name not in get_args(Format):
        raise unknown_key(str(name), get_args(Format), "format", kind="choice")


def check_counterpart(arch: str | None, target: Format) -> None:
    """Refuse a format whose library does not have the backbone.

    Raises:
        UserError: If so; it names a format that fits.
    """
    known, of_timm = COUNTERPARTS.get(target), arch is not None and is_timm(arch)
    if known is not None and arch not in known and not (of_timm and target == "timm"):
        other = "timm or format=safetensors" if of_timm or arch in TIMM_NAMES else "safetensors"
        raise UserError(
            f"{target} has no counterpart of the backbone '{arch or 'unknown'}', only of "
            f"{', '.join(known)}. Use format={other}."
        )
