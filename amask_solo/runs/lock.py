"""One process trains in a run folder at a time.

By ``fcntl.lockf``, not by the library ``filelock``: such a lock is its process's own, so no worker of a data loader
inherits it; and where a file system knows no locks, the library would leave a file that outlives a crash.
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
"""What a file system answers that knows no locks, as some of clusters do."""

LOCK = ".lock"
"""The file that a process holds while it trains; the system lets go of it when the process ends, however that is."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a run folder, which is made if need be; of several processes of one run, only the first may.

    Raises:
        UserError: If another process holds it, or it cannot be written.
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
        with suppress(OSError):  # Unless nothing was written, it is not empty.
            folder.rmdir()


def check_free(folder: Path) -> None:
    """Raise the error of :func:`hold` now, if another process holds the folder; write nothing."""
    if (folder / LOCK).is_file():
        with (folder / LOCK).open("r+") as file:
            _lock(file)


def _acquire(path: Path) -> IO[str]:
    while True:
        file = path.open("a+")
        _lock(file)
        # Its last owner has deleted it, perhaps after it was opened here.
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
