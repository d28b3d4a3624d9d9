"""Read the ``config.yaml`` of a run folder, which may be from an older version."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError

MOVED = {
    "amask_solo.updates.": "amask_solo.game.updates.",
    "amask_solo.hosts.callbacks.": "amask_solo.callbacks.",
    "amask_solo.runs.callbacks.": "amask_solo.callbacks.",
}
"""The beginning of a dotted path in older run folders -> its present form."""


def read_stored(path: Path) -> DictConfig:
    """Return a stored configuration with the present names of its targets; nothing in it is executed.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        cfg = OmegaConf.load(path)
        stored = OmegaConf.create(_renamed(OmegaConf.to_container(cfg)))
    except Exception as error:  # a broken file may make the readers of YAML raise anything
        raise UserError(f"Cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(stored, DictConfig):
        raise UserError(f"{path} is not the configuration of a run: it has no keys.")
    return stored


def _renamed(node: Any) -> Any:
    if isinstance(node, list):
        return [_renamed(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {key: _today(child) if key == "_target_" else _renamed(child) for key, child in node.items()}


def _today(target: Any) -> Any:
    for old, new in MOVED.items():
        if isinstance(target, str) and target.startswith(old):
            return new + target.removeprefix(old)
    return target
