"""The ``config.yaml`` of a run folder, read back: perhaps of an older version, perhaps of somebody else."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError

MOVED = {
    "amask_solo.updates.": "amask_solo.game.updates.",
    "amask_solo.hosts.callbacks.": "amask_solo.callbacks.",
    "amask_solo.runs.callbacks.": "amask_solo.callbacks.",
}
"""Where targets have gone that older run folders name, by the beginning of their dotted paths."""


def read_stored(path: Path) -> DictConfig:
    """Return a stored configuration, targets under the names that they have today; nothing in it is run.

    Args:
        path: The file.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        cfg = OmegaConf.load(path)
        stored = OmegaConf.create(_renamed(OmegaConf.to_container(cfg)))
    except Exception as error:  # whatever a broken file makes the readers of YAML raise
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
