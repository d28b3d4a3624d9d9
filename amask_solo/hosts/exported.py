"""What an exported backbone says of itself, in its file or in the ``.json`` beside it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import describes_export
from amask_solo.hosts.repairs import VIEW_FILTER

ALONE = "alone"
"""The key that marks a checkpoint whose tensors are those of a backbone, without a prefix."""

UNKNOWN = "unknown"
"""The ``arch`` of a backbone that nobody knows."""

FINGERPRINT = "fingerprint"
"""The key of what tells which tensors the metadata describe; older versions have none."""


def read_metadata(path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the exported tensors ``state`` in the file ``path``, as a checkpoint's entries.

    They are ``backbone``, ``backbone_kwargs``, ``small_stem``, :data:`ALONE`, and if known ``images`` and the filter of
    the views. Empty without metadata.

    Raises:
        UserError: If the metadata cannot be read, or if the ``.json`` is about other tensors.
    """
    inside = path.suffix == ".safetensors"
    place = path if inside else path.with_suffix(".json")
    if not place.is_file():
        return {}
    try:
        said = _inside(path) if inside else json.loads(place.read_text())
        if not isinstance(said, dict) or not (describes_export(said) or VIEW_FILTER in said):
            return {}  # the metadata are of another program
        decoded = {key: json.loads(said.get(key, "null")) for key in ("kwargs", VIEW_FILTER, "images")}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        what = f"which says what {path.name} is and how its views are made"
        raise UserError(f"Cannot read {place}, {what}: {error}") from error
    if not inside and FINGERPRINT in said and said[FINGERPRINT] != fingerprint(state):
        raise UserError(
            f"{place} describes other tensors than those in '{path}', perhaps those of a later "
            "export of the same name. Export this one again, under a name of its own, or move the .json elsewhere."
        )
    entries = {key: value for key, value in decoded.items() if value is not None}
    arch, kwargs = said.get("arch"), entries.pop("kwargs", {})
    if isinstance(arch, str) and isinstance(kwargs, dict) and arch != UNKNOWN:
        entries |= {"backbone": arch, "backbone_kwargs": kwargs, "small_stem": "stem" in said, ALONE: True}
    return entries


def fingerprint(state: Mapping[str, Any]) -> str:
    """Return a hash of 16 digits of all tensors."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(state.items()):
        if isinstance(value, Tensor):
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _inside(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
