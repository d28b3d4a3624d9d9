"""Files that are there whole or not at all, whatever happens to the process or the disk meanwhile."""

import os
from contextlib import suppress
from pathlib import Path

from amask_solo.errors import UserError

PART = ".part"
"""How the name of a file ends that is still being written; a killed process leaves it behind."""


class WriteError(UserError):
    """A file cannot be written: the disk is full, or a folder not ours."""


def write_whole(path: str | Path, content: bytes | memoryview | str, *, keep: Path | None = None) -> None:
    """Write a file beside its place, and put it there in one step when it has reached the disk.

    Args:
        path: The file; its folder is made if need be.
        content: What to write; text as UTF-8, its line ends as they are.
        keep: Where the file goes that had the name until now; by default it is gone.

    Raises:
        WriteError: If that is not possible, as on a full disk. What was there before is still there.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            if keep is not None and path.exists():
                _keep(path, keep)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    _sync_folder(path.parent)


def check_image_folder(path: str | Path, key: str) -> Path:
    """Return a folder to read images from.

    Args:
        path: The folder; a ``~`` is the user's home.
        key: The setting that names it, for the error.

    Raises:
        UserError: If it is not there.
    """
    folder = Path(str(path)).expanduser()
    with suppress(OSError):  # a name that is too long
        if folder.is_dir():
            return folder
    raise UserError(f"Expected a folder of images at {key}={folder}, but there is none; check the path.")


def check_place(path: Path, key: str) -> None:
    """Refuse a place for a file before the work that leads to it is done.

    Args:
        path: The file; its folder need not be there yet.
        key: The setting that says where it goes.

    Raises:
        UserError: If it is a folder, or nothing can be written there.
    """
    with suppress(OSError):  # a name that is too long
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if not path.is_dir() and folder.is_dir() and os.access(folder, os.W_OK):
            return
    raise UserError(f"Cannot write {path}; give {key}=... for another file.")


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there.

    Raises:
        UserError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Return the error of a file that cannot be written."""
    return WriteError(f"Cannot write {path}: {error.strerror or error}.")


def _keep(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    try:
        os.link(path, copy)
    except OSError:  # a file system without links
        path.replace(copy)


def _sync_folder(folder: Path) -> None:
    # The new name reaches the disk with the folder; not every system can open one.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
