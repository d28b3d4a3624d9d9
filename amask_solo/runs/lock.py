"""A lock, so that only one process trains in a run folder at a time.

The lock uses ``fcntl.lockf`` and not the library ``filelock``, for two reasons: workers of a data loader do not inherit
it, and on a file system without locks, the library would leave a file that outlives a crash.
"""

import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from amask_solo.errors import UserError
from amask_solo.files import cannot_write

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""The errors of file systems without locks, which some clusters have."""

LOCK = ".lock"
"""The file that a process locks while it trains; the system releases it when the process ends in any way."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a run folder, which is made if necessary; only the first process of a run may call this.

    Raises:
        UserError: If another process has locked it, or it cannot be written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _acquire(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
        with suppress(OSError):  # The folder can only be removed if nothing was written.
            folder.rmdir()


def check_free(folder: Path) -> None:
    """Raise the error of :func:`hold` if another process has locked the folder; write nothing."""
    if (folder / LOCK).is_file():
        with (folder / LOCK).open("r+") as file:
            _lock(file)


def holder(folder: Path) -> int | None:
    """Return the identifier of the process of this machine that trains in a folder, if there is one."""
    try:
        check_free(folder)
    except UserError:
        words = (folder / LOCK).read_text().split()
        return int(words[1]) if words[:1] == ["process"] and words[3:] == [platform.node()] else None
    return None


def _acquire(path: Path) -> IO[str]:
    while True:
        file = path.open("a+")
        _lock(file)
        # The last owner may have deleted the file after it was opened here.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file


def _lock(file: IO[str]) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        owner = file.read() or "another process"
        file.close()
        raise UserError(
            f"{Path(file.name).parent}: a run is being trained there, by {owner}. Wait for its end, stop it, or put "
            "this one elsewhere by name=... or run_folder=..."
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
