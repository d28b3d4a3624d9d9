"""The folder of a run: claimed before training, so that no run is lost to another."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError
from amask_solo.hosts.callbacks import LAST

CONFIG = "config.yaml"
MAY_CHANGE = ("resume", "overwrite", "trainer", "logger", "loader", "run_folder", "name")
"""What may differ when a run is resumed: where it runs, not what it is."""


def claim(cfg: DictConfig) -> tuple[Path, Path | None]:
    """Make the run folder and write ``config.yaml``.

    Returns:
        The folder, and the checkpoint to go on from if the run is resumed.

    Raises:
        UserError: If the folder holds a run already, or the run to resume is missing or another one.
    """
    folder = Path(cfg.run_folder).expanduser()
    last = folder / "checkpoints" / LAST
    if cfg.resume:
        if not last.is_file():
            raise UserError(f"Nothing to resume: {last} does not exist. Check run_folder, or leave out resume=true.")
        _check_same_run(folder, cfg)
        return folder, last
    if rank_zero_only.rank == 0:
        if (folder / CONFIG).exists():
            if not cfg.overwrite:
                raise UserError(
                    f"{folder} already holds a run. resume=true continues it, overwrite=true replaces it, "
                    "name=... or run_folder=... puts this one elsewhere."
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(cfg, folder / CONFIG, resolve=True)
    return folder, None


def _check_same_run(folder: Path, cfg: DictConfig) -> None:
    before = _flat(OmegaConf.to_container(OmegaConf.load(folder / CONFIG)))
    now = _flat(OmegaConf.to_container(cfg, resolve=True))
    changed = sorted(
        key
        for key in before.keys() | now.keys()
        if before.get(key) != now.get(key) and key.split(".")[0] not in MAY_CHANGE
    )
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:5])
        raise UserError(
            f"The run in {folder} had other settings ({shown}). Resume it with its own, which are in "
            f"{folder / CONFIG}, or start a new run under another name=..."
        )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
