"""Find the last checkpoint of a run that is not broken."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

from amask_solo.errors import UserError
from amask_solo.files import expanded
from amask_solo.layout import CHECKPOINTS, LAST, saved


def find_checkpoint(path: str | Path) -> Path:
    """Return the last whole checkpoint of a run folder; a path of a file is returned unchanged.

    Raises:
        UserError: If the file does not exist, or the folder contains no run.
    """
    path = expanded(path)
    checkpoint = last_whole(path) if path.is_dir() else path
    if checkpoint is None or not checkpoint.is_file():
        wanted = checkpoint or path / CHECKPOINTS / LAST
        raise UserError(f"There is no checkpoint {wanted}. Give a run folder or a checkpoint file.")
    return checkpoint


def last_whole(run_folder: Path, warn: Callable[[str], object] = warnings.warn) -> Path | None:
    """Return ``last.ckpt``, or the one before if it is broken or missing; ``None`` if a run has neither.

    A broken checkpoint that is skipped is named to ``warn``.

    Raises:
        UserError: If there are checkpoints, but all are broken.
    """
    found = saved(run_folder)
    whole = next(filter(is_whole, found), None)
    if whole is None and found:
        names = " and ".join(map(str, found))
        raise UserError(f"{names} cannot be read: cut off or damaged. overwrite=true starts the run anew.")
    if whole and whole != found[0]:
        warn(f"{found[0]} is broken, as after a crash of the machine; taking the one before it, {whole.name}.")
    return whole


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint, a zip archive written by torch, is complete with correct checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
        return False
