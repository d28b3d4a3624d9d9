"""What all views of a run pass last, in training and in evaluation: it belongs to the backbone as its images do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from amask_solo.augment.views import Filter
from amask_solo.checkpoints.read import Checkpoint
from amask_solo.checkpoints.trust import trusted
from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from amask_solo.hosts.repairs import STATE, VIEW_FILTER

Node = Mapping[str, Any]
"""What describes a filter, as plain values."""


def build_filter(node: Any) -> Filter | None:
    """Return the filter that a :data:`Node` describes; nothing for ``None``.

    Raises:
        UserError: If it describes nothing that can be called.
    """
    if node is None:
        return None
    if not isinstance(node, Mapping):
        raise UserError(f"Expected view_filter to be null or a node with a _target_, but got {node!r}.")
    made = instantiate(OmegaConf.create(dict(node)), "view_filter")
    if not callable(made):
        raise UserError(f"view_filter: expected what turns views into views, but got {made!r}.")
    return made


def recorded_filter(checkpoint: Checkpoint) -> Node | None:
    """Return what a checkpoint says of the filter of its run, or an export of that of its backbone's."""
    return checkpoint.get(STATE, {}).get(VIEW_FILTER)


def trusted_filter(node: Node | None, file: Path, *, trust: Sequence[str] = ()) -> Filter | None:
    """Return the filter that a checkpoint names, if it is built of nothing but what is trusted.

    Raises:
        UserError: If not; see :func:`~amask_solo.checkpoints.trust.trusted`.
    """
    return build_filter(trusted(OmegaConf.create({VIEW_FILTER: node}), file, trust=trust)[VIEW_FILTER])


def spelled(node: Node) -> str:
    """Return a node as one would write it in Python.

    Example:
        >>> spelled({"_target_": "amask_solo.fills.HighPass", "kernel_size": 11, "sigma": 5.0})
        'amask_solo.fills.HighPass(kernel_size=11, sigma=5.0)'
    """
    arguments = ", ".join(f"{key}={value!r}" for key, value in node.items() if key != "_target_")
    return f"{node.get('_target_')}({arguments})"
