"""What timm has, by name: read from its source, so that a wrong name is refused before torch is imported."""

import difflib
import re
from functools import cache
from typing import NamedTuple

from amask_solo.errors import UserError
from amask_solo.signatures import find_source

TIMM = "timm/"
"""How the name of a backbone begins that is timm's, not the host's: ``timm/resnet34``."""

ENTRY = re.compile(r"^@register_model\ndef (\w+)\((.*?)(?=^@|^def |^class |\Z)", re.MULTILINE | re.DOTALL)
PATCH = re.compile(r"\bpatch_size=(\d+)|_patch(\d+)")

RESNETS = ("resnet", "res2net", "resnest", "sknet")
"""The modules of timm whose models are of its class ``ResNet``, and so have the stem that the host changes."""

VITS = (
    "vision_transformer",
    "vision_transformer_relpos",
    "vision_transformer_sam",
    "deit",
    "beit",
    "eva",
    "cait",
    "xcit",
)
"""The modules of timm whose models keep to one grid of patches."""


PLAIN_VITS = ("vision_transformer", "deit")
"""Those of them whose models are of timm's class ``VisionTransformer``: absolute positions, and any patch may lack."""


class Entry(NamedTuple):
    """Where a model of timm's is defined, and what its definition says.

    Attributes:
        module: The file, without folder and ending.
        patch: The side of its patches in pixels, if it states one.
    """

    module: str
    patch: int | None


@cache
def timm_models() -> dict[str, Entry]:
    """Return all models of the installed timm by name; none if its source is not as expected.

    Example:
        >>> timm_models()["vit_tiny_patch16_224"]
        Entry(module='vision_transformer', patch=16)
    """
    package = find_source("timm.models")
    files = sorted(package.parent.glob("*.py")) if package else ()
    return {
        name: Entry(file.stem, _patch(f"{body} {name}"))
        for file in files
        for name, body in ENTRY.findall(file.read_text(encoding="utf-8"))
    }


def _patch(text: str) -> int | None:
    found = PATCH.search(text)
    return int(found[1] or found[2]) if found else None


def is_timm(name: str) -> bool:
    """Return whether the name of a backbone is meant to be one of timm's."""
    return name.startswith(TIMM)


def bare(name: str) -> str:
    """Return timm's own name of a model, without the tag of pretrained weights.

    Example:
        >>> bare("timm/resnet18.a1_in1k")
        'resnet18'
    """
    return name.removeprefix(TIMM).partition(".")[0]


def check_timm(name: str) -> None:
    """Refuse a model that timm does not have.

    Raises:
        UserError: If it is unknown; it names the nearest known ones.
    """
    known = timm_models()
    if known and bare(name) not in known:
        close = difflib.get_close_matches(bare(name), known, n=3, cutoff=0.5)
        names = " or ".join(f"'{TIMM}{one}'" for one in close)
        hint = f"did you mean {names}?" if close else "timm.list_models() has all of them."
        raise UserError(f"timm has no model '{name.removeprefix(TIMM)}'; {hint}")


def is_resnet(name: str) -> bool:
    """Return whether a backbone, of the host's or of timm's, is a ResNet with a stem for large images."""
    if not is_timm(name):
        return name.startswith("resnet")
    entry = timm_models().get(bare(name))
    return entry is not None and entry.module in RESNETS


def patch_size(name: str) -> int | None:
    """Return the side in pixels of the patches of a vision transformer, of the host's or of timm's, by default.

    Returns:
        The side; ``None`` if the backbone is no vision transformer, or not one with a single grid of patches.
    """
    if not is_timm(name):
        return 16 if name.startswith("vit_") else None
    entry = timm_models().get(bare(name))
    return entry.patch if entry is not None and entry.module in VITS else None


def is_plain_vit(name: str) -> bool:
    """Return whether a backbone, of the host's or of timm's, is a vision transformer that can do without some patches.

    Example:
        >>> [is_plain_vit(name) for name in ("vit_tiny", "timm/vit_tiny_patch16_224", "timm/cait_s24_224")]
        [True, True, False]
    """
    if not is_timm(name):
        return name.startswith("vit_")
    entry = timm_models().get(bare(name))
    return entry is not None and entry.module in PLAIN_VITS
