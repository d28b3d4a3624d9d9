"""End what a command has launched when the command itself has ended, in whatever way.

The command leaves its name in the environment, which the processes of every launcher on this machine inherit: those of
joblib, of submitit's local executor, and our own. The jobs that SLURM runs belong to SLURM, so they go on.
"""

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from amask_solo.comparison.carry_out import PATIENCE
from amask_solo.runs.lock import holder

COMMAND = "AMASK_SOLO_COMMAND"
"""The variable with the machine, the job of SLURM, and the identifier of the process of the command."""

LOOK = 0.5  # seconds between two looks at the command


def announce() -> None:
    """Leave this process's name in the environment, unless it was itself launched by a command."""
    if not is_launched():
        os.environ[COMMAND] = f"{_place()} {os.getpid()}"


def is_launched() -> bool:
    """Return whether a command that still lives on this machine has launched this process."""
    pid = _launcher()
    return pid is not None and lives(pid)


@contextmanager
def follow() -> Iterator[None]:
    """Send SIGTERM to this process when the command that has launched it ends, while the context lasts.

    If that has ended before, this process ends at once.

    Other processes of a run on several devices end with the first one; see :mod:`amask_solo.runs.peers`.
    """
    done, pid = threading.Event(), _launcher()
    if pid is not None and os.environ.get("LOCAL_RANK", "0") == "0":
        if not lives(pid):
            # A launcher's process that has got its next job before it noticed. Anything milder would keep it.
            os._exit(128 + signal.SIGTERM)
        threading.Thread(target=_watch, args=(pid, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextmanager
def runs_end_first(folders: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C end the runs in some folders, which save, before they end this process.

    A launcher such as joblib would kill its processes. A second Ctrl-C does not wait for them.

    Args:
        folders: Tells the folders, when it comes to that.
    """

    def end(number: int, frame: FrameType | None) -> None:
        restore()
        told: dict[Path, int] = {}
        latest = time.monotonic() + PATIENCE
        # A process that has ended its run may be the launcher's, which stays, and may even take the next run.
        while time.monotonic() < latest and (runs := _training(folders())):
            for _, pid in runs.items() - told.items():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            told = runs
            time.sleep(0.1)
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers if callable(signal.getsignal(number))}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()


def _training(folders: Iterable[Path]) -> dict[Path, int]:
    """Return which other process trains in which of some folders."""
    holders = {folder: holder(folder) for folder in folders}
    return {folder: pid for folder, pid in holders.items() if pid is not None and pid != os.getpid()}


def lives(pid: int) -> bool:
    """Return whether there is a process with this identifier that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # other systems than Linux
        # A process that has ended keeps its identifier until its parent has asked how.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _launcher() -> int | None:
    """Return the process of the command that has launched this one on this machine, dead or alive, if there is one."""
    place, _, pid = os.environ.get(COMMAND, "").rpartition(" ")
    return int(pid) if place == _place() and int(pid) != os.getpid() else None


def _watch(pid: int, done: threading.Event) -> None:
    while not done.wait(LOOK):
        if not lives(pid):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _place() -> str:
    return f"{platform.node()} {os.environ.get('SLURM_JOB_ID', '-')}"
