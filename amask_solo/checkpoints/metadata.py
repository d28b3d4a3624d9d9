"""Write and read the metadata of an exported backbone."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.repairs import VIEW_FILTER

ALONE = "alone"
"""The key that marks a checkpoint whose tensors are those of a backbone, without a prefix."""


def describe(plan: Blueprint) -> dict[str, str]:
    """Return the description of a backbone as metadata of an export: ``arch``, and ``kwargs`` if there are any."""
    kwargs = plan.untrained.kwargs
    return {"arch": plan.arch, **({"kwargs": json.dumps(dict(kwargs))} if kwargs else {})}


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of an exported backbone, from the file itself or from the ``.json`` beside it.

    Args:
        path: The file with the tensors.

    Returns:
        The entries that a checkpoint has: ``backbone``, ``backbone_kwargs``, ``small_stem``, :data:`ALONE`, and the
        filter of the views, if there is one; empty if there are no metadata.

    Raises:
        UserError: If the metadata are broken.
    """
    place = path if path.suffix == ".safetensors" else path.with_suffix(".json")
    if not place.is_file():
        return {}
    try:
        said = _inside(path) if place == path else json.loads(place.read_text())
        if not isinstance(said, dict) or not (said.keys() >= {"arch", "format"} or VIEW_FILTER in said):
            return {}  # the metadata are of another program
        kwargs, view_filter = json.loads(said.get("kwargs", "{}")), json.loads(said.get(VIEW_FILTER, "null"))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        what = f"which says what {path.name} is and how its views are made"
        raise UserError(f"Cannot read {place}, {what}: {error}") from error
    known = {} if view_filter is None else {VIEW_FILTER: view_filter}
    arch = said.get("arch")
    if isinstance(arch, str) and isinstance(kwargs, dict) and arch != "unknown":
        known |= {"backbone": arch, "backbone_kwargs": kwargs, "small_stem": "stem" in said, ALONE: True}
    return known


def _inside(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
