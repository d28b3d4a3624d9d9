"""The filter that all views of a run pass last, in training and in evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from amask_solo.augment.views import Filter
from amask_solo.checkpoints.read import Checkpoint
from amask_solo.checkpoints.stored import trusted
from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from amask_solo.hosts.repairs import STATE, VIEW_FILTER

Node = Mapping[str, Any]
"""The description of a filter, in plain values."""


def build_filter(node: Any) -> Filter | None:
    """Return the filter that a :data:`Node` describes, or raise a ``UserError`` if it is no filter; ``None`` for it."""
    if node is None:
        return None
    if not isinstance(node, Mapping):
        raise UserError(f"Expected view_filter to be null or a node with a _target_, but got {node!r}.")
    made = instantiate(OmegaConf.create(dict(node)), "view_filter")
    if not callable(made):
        raise UserError(f"view_filter: expected what turns views into views, but got {made!r}.")
    return made


def recorded_filter(checkpoint: Checkpoint) -> Node | None:
    """Return the description of the filter in a checkpoint or an export."""
    return checkpoint.get(STATE, {}).get(VIEW_FILTER)


def trusted_filter(node: Node | None, file: Path, *, trust: Sequence[str] = ()) -> Filter | None:
    """Return the filter of a checkpoint, after the checks of :func:`~amask_solo.checkpoints.stored.trusted`."""
    return build_filter(trusted(OmegaConf.create({VIEW_FILTER: node}), file, trust=trust)[VIEW_FILTER])


def spelled(node: Node) -> str:
    """Return a node as an expression in Python.

    Example:
        >>> spelled({"_target_": "amask_solo.fills.HighPass", "kernel_size": 11, "sigma": 5.0})
        'amask_solo.fills.HighPass(kernel_size=11, sigma=5.0)'
    """
    arguments = ", ".join(f"{key}={value!r}" for key, value in node.items() if key != "_target_")
    return f"{node.get('_target_')}({arguments})"
