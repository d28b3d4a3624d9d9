#!/usr/bin/env python
"""Kill a run repeatedly, and compare its result with that of an undisturbed run.

Usage::

    python scripts/soak.py --kills 20                                            # into results/soak/
    python scripts/soak.py --kills 20 --name alternating update=alternating
    python scripts/soak.py --kills 8 --name ddp --processes 2
    python scripts/soak.py --kills 8 --name interrupted --by INT loader.device_cache=off loader.num_workers=1

Each kill is a SIGKILL: in turn right after a checkpoint, while the next one is being written, and at a random moment.
By ``--by`` it is another signal (INT2: Ctrl-C twice), which comes before, within or after any step, but need not meet
the writing; those of a terminal reach the workers and the other processes of a run, too. Then the same command
continues with ``resume=true``. At the end each number of the last checkpoint (networks, optimizers, schedulers, random
numbers, progress) must be the same to the last bit, and so must ``metrics.csv`` and the pictures of the masks. If there
are several processes, one is killed, and the others must be gone within a minute.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from benchmarking.report import environment
from torch import Tensor

from amask_solo.cli.following import lives

FOLDER = Path(__file__).resolve().parents[1] / "results" / "soak"
PATIENCE = 60.0  # seconds in which the other processes of a run must end after one was killed
SETTINGS = (
    "data=shapes",
    "data.image_size=32",
    "data.num_train=48",
    "data.num_val=24",
    "optimizer.batch_size=16",
    "stem=imagenet",
    "trainer=cpu",
)
SIGNALS = {
    "KILL": [signal.SIGKILL],
    "TERM": [signal.SIGTERM],
    "HUP": [signal.SIGHUP],
    "INT": [signal.SIGINT],
    "INT2": [signal.SIGINT, signal.SIGINT],
}
TERMINAL = ("HUP", "INT", "INT2")
"""Signals that a terminal sends to each process of a run, workers included; others are sent to one that trains."""
NO_STATE = ("seconds", "seconds_per_step", "mean_seconds_per_step", "peak_memory_mib", "current_score")
"""Entries of a checkpoint that may differ: costs, and a number that Lightning writes but never reads."""


class Run:
    """A run of the real command, in a process forked from one that has imported everything.

    Args:
        arguments: The arguments of ``amask-pretrain``.
        folder: The run folder.
        processes: The number of processes that train together.
        by: The signal that ends it, of :data:`SIGNALS`.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, *, processes: int = 1, by: str = "KILL") -> None:
        self.folder, self.processes, self.by = folder, processes, by
        self.arguments = [*arguments, f"run_folder={folder}"]
        if processes > 1:
            self.arguments += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.sync_batchnorm=false"]
            self.arguments += [f"trainer.devices={processes}"]
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["amask_solo.runs.pretrain", "amask_solo.cli.pretrain"])

    @property
    def last(self) -> Path:
        """The last checkpoint."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(self.last.parent.glob(".*.part"))

    def start(self) -> list[int]:
        """Start or continue the run; return the process identifiers once all processes train."""
        how = "resume=true" if self.last.exists() else "overwrite=true"
        before = self._saved()
        self._process = self._forks.Process(target=_pretrain, args=([*self.arguments, how],))
        self._process.start()
        self._until(lambda: self._saved() != before)
        return [self._process.pid, *children(self._process.pid)]

    def finish(self) -> None:
        """Wait for the end; raise a ``RuntimeError`` if the run fails."""
        self._process.join()
        if code := self._process.exitcode:
            raise RuntimeError(f"{' '.join(self.arguments)} ended with exit code {code}.")

    def kill(self, pids: Sequence[int], *, delay: float, writing: bool) -> float:
        """Send the signal to one or all processes; return the number of seconds until all have ended.

        Raises:
            RuntimeError: If the others do not end within :data:`PATIENCE`.
        """
        time.sleep(delay)
        if writing:
            self._until(lambda: self.is_writing)
        victims = pids if self.by in TERMINAL else [random.choice([pid for pid in pids if not self._is_worker(pid)])]
        for number in SIGNALS[self.by]:
            for victim in victims:
                os.kill(victim, number)
            time.sleep(0.01)
        start = time.monotonic()
        self._process.join(PATIENCE)
        while any(lives(pid) for pid in pids):
            if time.monotonic() > start + PATIENCE:
                raise RuntimeError(f"Still there {PATIENCE:.0f} s after another was killed: {pids}.")
            time.sleep(0.05)
        return time.monotonic() - start

    def _is_worker(self, pid: int) -> bool:
        """Whether a process reads images for another: it is a copy, while those that train are started anew."""
        return pid != self._process.pid and _command(pid) == _command(self._process.pid)

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if (code := self._process.exitcode) is not None:
                raise RuntimeError(f"{' '.join(self.arguments)} ended too early, with exit code {code}.")
            time.sleep(0.001)

    def _saved(self) -> int | None:
        return self.last.stat().st_mtime_ns if self.last.exists() else None


def _pretrain(arguments: Sequence[str]) -> None:
    from amask_solo.cli.pretrain import main

    torch.set_num_threads(1)
    sys.argv = ["amask-pretrain", *arguments]
    # Lightning starts the other processes with this module.
    sys.modules["__main__"].__spec__ = find_spec(main.__module__)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        main()


def children(pid: int) -> list[int]:
    """Return the identifiers of the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place and value of each number, text or tensor (as bytes) in a checkpoint."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            if key not in NO_STATE:
                yield from leaves(child, f"{where}/{key}")
    elif isinstance(value, list | tuple):
        for place, child in enumerate(value):
            yield from leaves(child, f"{where}/{place}")
    else:
        yield where, value.numpy().tobytes() if isinstance(value, Tensor) else repr(value)


def compare(one: Path, two: Path) -> list[str]:
    """Return the differences between two run folders."""
    last = Path("checkpoints", "last.ckpt")
    first, second = (dict(leaves(torch.load(folder / last, weights_only=True))) for folder in (one, two))
    found = sorted(place for place in first.keys() | second.keys() if first.get(place) != second.get(place))
    pictures = {f"masks/{file.name}" for folder in (one, two) for file in (folder / "masks").glob("*.png")}
    return found + [name for name in ("metrics.csv", *sorted(pictures)) if _content(one / name) != _content(two / name)]


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def soak(run: Run, unbroken: Path, *, kills: int) -> list[dict[str, Any]]:
    """Make a run undisturbed and move it to ``unbroken``; then make it again and kill it repeatedly.

    Returns:
        For each kill, the ``moment``, the ``delay`` after the last checkpoint, and the ``seconds`` until all processes
        had ended.
    """
    run.start()
    begun = time.monotonic()
    run.finish()
    epoch = (time.monotonic() - begun) / (2 * kills + 1)
    run.folder.rename(unbroken)
    done: list[dict[str, Any]] = []
    for number in range(kills):
        pids = run.start()
        # The kills come in turn: right after a checkpoint, while the next one is being written, at a random moment.
        writing, delay = run.by == "KILL" and number % 3 == 1, random.uniform(0, epoch) if number % 3 else 0.0
        gone = run.kill(pids, delay=delay, writing=writing)
        moment = "writing" if run.is_writing else "training"
        done.append({"moment": moment, "delay": round(delay, 3), "seconds": round(gone, 2)})
        print(f"kill {number + 1}/{kills}: while {moment}, all gone after {gone:.1f} s", flush=True)
    run.start()
    run.finish()
    return done


def main() -> None:
    """Kill, compare and write the report; the exit code is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--by", choices=SIGNALS, default="KILL", help="the signal")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--name", default="sequential", help="of the report")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the report")
    parser.add_argument("settings", nargs="*", help="further arguments of amask-pretrain")
    args = parser.parse_intermixed_args()
    random.seed(args.seed)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Each start ends one epoch and reaches into the next, so no kill comes too late.
    arguments = [*SETTINGS, f"max_epochs={2 * args.kills + 2}", *args.settings]
    with tempfile.TemporaryDirectory() as folder:
        run, unbroken = (
            Run(arguments, Path(folder, "run"), processes=args.processes, by=args.by),
            Path(folder, "unbroken"),
        )
        try:
            kills = soak(run, unbroken, kills=args.kills)
        except RuntimeError as error:
            sys.exit(f"Error: {error}")
        found = compare(run.folder, unbroken)
    report = {
        **environment(torch.device("cpu"), args.seed),
        "settings": arguments,
        "processes": args.processes,
        "signal": args.by,
        "kills": kills,
        "differences": found,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{args.kills} kills; {', '.join(found) or 'nothing'} differs. Written to {path}.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
