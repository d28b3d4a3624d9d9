"""Call a command in a process of its own that has imported everything already, so that a call costs little."""

import gc
import logging
import multiprocessing.forkserver
import os
import signal
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import IO

import amask_solo.checkpoints.export
import amask_solo.runs.evaluate
import amask_solo.runs.pretrain  # noqa: F401 - what the commands import in the end
from tests.cli.command import Said

PATIENCE = 60
"""Seconds after which a command that is still at work counts as hanging."""


class Forked:
    """A command at work; a bug prints its traceback and ends with 1, a hang with -14.

    Args:
        name: Of the command.
        argv: Its arguments.
        cwd: The working directory.
        out: Takes what it prints.
        err: Takes what it prints as errors; by default as ``out``.
        patience: After so many seconds it hangs.
    """

    def __init__(
        self, name: str, *argv: str, cwd: Path, out: IO[str], err: IO[str] | None = None, patience: int = PATIENCE
    ) -> None:
        main = import_module(f"amask_solo.cli.{name}").main
        with warnings.catch_warnings():
            # The threads of the libraries hold no lock while a test waits here.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                _forget_the_tests()
                signal.alarm(patience)
                for number, stream in ((1, out), (2, err or out)):
                    os.dup2(stream.fileno(), number)
                os.chdir(cwd)
                sys.argv = [f"amask-{name}", *argv]
                code = _ended(main)
            finally:
                # Without the tests' own clean-up, which is for the process that was forked.
                os._exit(code)

    def wait(self) -> int:
        """Return the exit code; a signal is its negative number."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def call_forked(name: str, *argv: str, cwd: Path, log: Path, patience: int = PATIENCE) -> Said:
    """Run ``amask-<name>`` in a working directory.

    Args:
        name: Of the command.
        argv: Its arguments.
        cwd: The working directory.
        log: A folder for what it prints.
        patience: After so many seconds it hangs.
    """
    with (log / "out.txt").open("w+") as out, (log / "err.txt").open("w+") as err:
        code = Forked(name, *argv, cwd=cwd, out=out, err=err, patience=patience).wait()
        return Said(code, (log / "out.txt").read_text(), (log / "err.txt").read_text())


def _forget_the_tests() -> None:
    # Nor is a server of processes that a test has started this process's child.
    multiprocessing.forkserver._forkserver.__init__()
    # The handlers of the tests' own time limit, captured logs and captured output are no business of a command.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, os.fdopen(number, "w", closefd=False))
    logging.getLogger().handlers.clear()
    for name in ("lightning.pytorch", "lightning.fabric"):
        # As Lightning does where nobody else has set up logging.
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.StreamHandler()], False
        logger.setLevel(logging.INFO)
    # A collection would touch, and so copy, all that is shared with the process that was forked.
    gc.disable()


def _ended(main) -> int:
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1
