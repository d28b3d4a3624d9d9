"""Make a run: pretrain and evaluate it, each in a process of its own.

So memory is measured for each run alone, a run that crashes does not end others, and each can be made again by hand
with the same command. The imports take ten seconds and more, but are made once: the processes are forked from one that
has made them.
"""

import multiprocessing
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from amask_solo.comparison.plan import SCORES, Run, as_arguments
from amask_solo.errors import UserError
from amask_solo.layout import CHECKPOINTS, CONFIG, LAST, saved

PATIENCE = 120.0  # seconds in which an interrupted run may write its checkpoint


def check_evaluable(plan: Sequence[Run], protocols: Mapping[str, Any]) -> None:
    """Raise an error if a finished run lacks a protocol and its checkpoint, as one that was copied without it.

    Training it again would take hours that nobody asked for, and replace what it has measured.
    """
    for run in plan:
        lacking = run.lacks(protocols) if run.trained else []
        # The checkpoint before the last is of an earlier epoch: its scores would stand beside those of finished runs.
        if lacking and not (run.folder / CHECKPOINTS / LAST).is_file():
            raise UserError(
                f"{run.folder} is trained, but has no {CHECKPOINTS}/{LAST} to run {', '.join(lacking)} with. Put it "
                "there, leave the protocol out, or delete the folder, and the run is made again."
            )


def pretrain(run: Run) -> None:
    """Pretrain a run, from its last checkpoint if it was interrupted.

    Raises:
        UserError: If it fails.
    """
    go_on = saved(run.folder) and (run.folder / CONFIG).is_file()
    call("pretrain", [*run.settings, "resume=true" if go_on else "overwrite=true"], log=_log(run))


def evaluate(run: Run, protocols: Mapping[str, Any], more: Sequence[str] = ()) -> None:
    """Evaluate a finished run by protocols, each with all of its settings, and ``more`` arguments of amask-evaluate.

    Raises:
        UserError: If it fails.
    """
    places = [f"ckpt={run.folder}", f"output={run.folder / SCORES}"]
    settings = as_arguments({f"protocol.{name}": node for name, node in protocols.items()})
    call("evaluate", [*places, f"protocol=[{','.join(protocols)}]", *settings, *more], log=_log(run))


def _log(run: Run) -> Path:
    return run.folder.parent.parent / "logs" / f"{run.name}.txt"


def call(command: str, arguments: Sequence[str], *, log: Path) -> None:
    """Run a command of this package, ``pretrain`` or ``evaluate``, and add what it prints to a log.

    Raises:
        UserError: If it fails; with its last line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    process = _context().Process(target=_run, args=(command, list(arguments), log))
    process.start()
    try:
        process.join()
    except (KeyboardInterrupt, SystemExit):
        # The run writes a checkpoint. Ctrl-C has reached it as well, but other signals have not.
        process.terminate()
        process.join(PATIENCE)
        raise
    if process.exitcode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise UserError(f"amask-{command} failed: {said[-1] if said else ''} (exit {process.exitcode}; more in {log})")


def _context() -> Any:
    known = multiprocessing.get_all_start_methods()
    if multiprocessing.get_start_method(allow_none=True) not in (None, "fork", "spawn", "forkserver"):
        # A worker of joblib has a default of its own that the new process would not know.
        multiprocessing.set_start_method("fork" if "fork" in known else "spawn", force=True)
    if "forkserver" not in known:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["amask_solo.cli.preloaded"])
    return context


def _run(command: str, arguments: list[str], log: Path) -> None:
    """Be the command, in the new process."""
    with log.open("a", errors="surrogateescape") as out:  # the name of a file need not be text
        out.write(f"$ amask-{command} {shlex.join(arguments)}\n")
        out.flush()
        for stream in (sys.stdout, sys.stderr):
            os.dup2(out.fileno(), stream.fileno())
    module = import_module(f"amask_solo.cli.{command}")
    # Lightning starts further processes for several GPUs by running `__main__` again: the command, not the comparison.
    sys.modules["__main__"] = module
    sys.argv = [str(module.__file__), *arguments]
    module.main()
