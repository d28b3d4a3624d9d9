"""What an export says about its backbone beside the tensors, written and read back."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from amask_solo.hosts.blueprint import Blueprint

ALONE = "alone"
"""Says of what is known about a checkpoint that its tensors are those of a backbone, without any prefix."""


def describe(plan: Blueprint) -> dict[str, str]:
    """Return what a backbone is built from, as the metadata of an export: ``arch``, and ``kwargs`` if there are any."""
    kwargs = plan.untrained.kwargs
    return {"arch": plan.arch, **({"kwargs": json.dumps(dict(kwargs))} if kwargs else {})}


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what an exported file, or the ``.json`` beside it, says about its backbone; nothing if there is none.

    Args:
        path: The file with the tensors.

    Returns:
        The same entries as a checkpoint has: ``backbone``, ``backbone_kwargs``, ``small_stem``, and :data:`ALONE`.
    """
    try:
        found = _inside(path) if path.suffix == ".safetensors" else json.loads(path.with_suffix(".json").read_text())
        arch, kwargs = found["arch"], json.loads(found.get("kwargs", "{}"))
        ours = isinstance(arch, str) and isinstance(kwargs, dict) and "format" in found and arch != "unknown"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError):
        return {}  # somebody else's
    small = "stem" in found
    return {"backbone": arch, "backbone_kwargs": kwargs, "small_stem": small, ALONE: True} if ours else {}


def _inside(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
