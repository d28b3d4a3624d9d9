"""Write files so that each exists whole or not at all, even if the process dies meanwhile; read and check them."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amask_solo.errors import UserError

PART = ".part"
"""The suffix of a file that is still being written. A killed process leaves such a file behind."""


class WriteError(UserError):
    """A file cannot be written, for example because the disk is full or the folder is read-only."""


def write_whole(path: str | Path, content: bytes | memoryview | str, *, keep: Path | None = None) -> None:
    """Write a file under another name, and rename it in one step when it has reached the disk.

    Args:
        path: The file; its folder is made if necessary.
        content: What to write; text is encoded as UTF-8, with its line ends unchanged. What is left of a file's name
            that is no text is written as an escape, which JSON and YAML read.
        keep: The new name of a previous file at ``path``; by default that file is replaced.

    Raises:
        WriteError: If the file cannot be written. A previous file is then unchanged.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
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


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, as :func:`write_whole` does; raise a ``ValueError`` if a number in it is not finite."""
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a folder to oneself, among all who ask for it, where its file system has locks; nothing is written."""
    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def read_text(path: Path) -> str:
    """Return the text of a file that other programs may have written, without the mark that some begin it with.

    Raises:
        UserError: If it is not in UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"Expected '{path}' to be text in UTF-8, but {error}; save it in this encoding.") from error


def read_object(path: Path, *, then: str) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one if there is no such file.

    Raises:
        UserError: If it holds anything else, or cannot be read; with what to do ``then``.
    """
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {error}. {then}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no object of JSON. {then}")
    return content


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` expanded; a name like ``~t`` that is nobody's home stays as it is."""
    return Path(os.path.expanduser(str(path)))


def check_image_folder(path: str | Path, key: str) -> Path:
    """Return a folder of images with ``~`` expanded; raise a ``UserError`` with the setting ``key`` if it is absent."""
    folder = expanded(path)
    with suppress(OSError):  # a name that is too long
        if folder.is_dir():
            return folder
    raise UserError(f"Expected a folder of images at {key}={folder}, but there is none; check the path.")


def missing_set(name: str, root: Path, folder: str) -> UserError:
    """Return the error about a data set of torchvision that is not in its folder below ``data.root``."""
    return UserError(
        f"Expected {name} in data.root={root}, in its folder '{folder}', but it is missing or incomplete; download it "
        f"with: python -c \"from torchvision.datasets import {name}; {name}('{root}', download=True)\""
    )


def check_holds(name: str, root: Path, holds: Sequence[str], *, source: str | None, can_download: bool) -> None:
    """Raise a ``UserError`` if a published data set is not in ``data.root``.

    It names the paths that the folder should hold, and where to get the set: from its source, or by
    ``data.download=true`` if that is possible.
    """
    if missing := [path for path in holds if not (root / path).exists()]:
        places = [*(["data.download=true"] if can_download else []), *([source] if source else [])]
        raise UserError(
            f"Expected {name} in data.root={root}, as {', '.join(holds)}, but {missing[0]} is missing"
            f"{'; get it by ' if places else ''}{', or from '.join(places)}."
        )


def check_place(path: Path, key: str) -> None:
    """Check that a file can be written, before the work that leads to it is done; its folder need not exist yet.

    Raises:
        UserError: If the path is a folder, or nothing can be written there; it names the setting ``key``.
    """
    with suppress(OSError):  # a name that is too long
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if not path.is_dir() and folder.is_dir() and os.access(folder, os.W_OK):
            return
    raise UserError(f"Cannot write {path}; give {key}=... for another file.")


def make_folder(path: Path) -> None:
    """Make a folder, unless it exists; raise a :class:`WriteError` if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Return the error about a file that cannot be written."""
    return WriteError(f"Cannot write {path}: {error.strerror or error}.")


def _keep(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    try:
        os.link(path, copy)
    except OSError:  # a file system without links
        path.replace(copy)


def _sync_folder(folder: Path) -> None:
    # A new name is only on the disk when its folder is; not every system can open a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
