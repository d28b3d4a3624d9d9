"""Keep the run that another one replaces, until the new one has done an epoch; before that, an error brings it back.

The settings are moved first and put back last, and they are deleted first. So whatever a killed process has left, the
folder says what to do with it: without settings of a new run in it, its files are still those of the old one; without
settings among the files that were moved, nobody needs the latter.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from amask_solo.layout import CHECKPOINTS, CONFIG, LAST

REPLACED = ".replaced"
"""The folder in a run folder for the files of the run that is being replaced."""


def is_replaced(folder: Path) -> bool:
    """Return whether there is a run that can be put back."""
    return os.path.lexists(folder / REPLACED / CONFIG)


def holds(path: Path) -> bool:
    """Return whether there is anything to lose at a path: a file, or a folder that is not empty."""
    try:
        return any(path.iterdir())
    except OSError:
        return os.path.lexists(path)


def set_aside(folder: Path, names: Sequence[str]) -> None:
    """Move the files of a run, of which the first is :data:`CONFIG`, out of the way of a new one.

    A link, as to a folder on another disk, is moved and later deleted as the link that it is.
    """
    if found := [name for name in names if holds(folder / name)]:
        (folder / REPLACED).mkdir()
        try:
            for name in found:
                (folder / name).replace(folder / REPLACED / name)
        except OSError:
            put_back(folder, names)
            raise


def clear(folder: Path, names: Sequence[str]) -> None:
    """Delete what the new run has written; an empty folder may be a link that a user has made for it."""
    for name in reversed(names):
        if holds(folder / name) or os.path.lexists(folder / REPLACED / name):
            _delete(folder / name)


def put_back(folder: Path, names: Sequence[str]) -> None:
    """Move the files of the old run back, if there was one."""
    if is_replaced(folder):
        for name in reversed(names):
            if os.path.lexists(folder / REPLACED / name):
                (folder / REPLACED / name).replace(folder / name)
        (folder / REPLACED).rmdir()


def forget(folder: Path) -> None:
    """Delete the files of the old run."""
    with suppress(OSError):  # The end of the next epoch, or the next run, tries again.
        (folder / REPLACED / CONFIG).unlink(missing_ok=True)
        shutil.rmtree(folder / REPLACED)


def recover(folder: Path, names: Sequence[str]) -> None:
    """Put the old run back if a new one was killed before it had a checkpoint; otherwise forget it."""
    begun = (folder / CONFIG).exists()
    if not is_replaced(folder) or (begun and (folder / CHECKPOINTS / LAST).exists()):
        forget(folder)
        return
    if begun:
        clear(folder, names)
    put_back(folder, names)


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
