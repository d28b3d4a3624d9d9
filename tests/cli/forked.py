"""Call a command in a process of its own that has imported everything already, so that a call costs little."""

import os
import signal
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path

import amask_solo.runs.evaluate
import amask_solo.runs.export
import amask_solo.runs.pretrain  # noqa: F401 - what the commands import in the end
from tests.cli.command import Said

PATIENCE = 60
"""Seconds after which a command that is still at work counts as hanging."""


def call_forked(name: str, *argv: str, cwd: Path, log: Path) -> Said:
    """Run ``amask-<name>`` in a working directory; a bug prints its traceback and ends with 1, a hang with -14.

    Args:
        name: Of the command.
        argv: Its arguments.
        cwd: The working directory.
        log: A folder for what it prints.
    """
    main = import_module(f"amask_solo.cli.{name}").main
    out, err = log / "out.txt", log / "err.txt"
    with warnings.catch_warnings():
        # The threads of the libraries hold no lock while a test waits here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            # The handler of the tests' own time limit is no business of a command.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            _redirect(out, err)
            os.chdir(cwd)
            sys.argv = [f"amask-{name}", *argv]
            code = _ended(main)
        finally:
            # Without the tests' own clean-up, which is for the process that was forked.
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return Said(os.waitstatus_to_exitcode(status), out.read_text(), err.read_text())


def _redirect(out: Path, err: Path) -> None:
    for number, path, name in ((1, out, "stdout"), (2, err, "stderr")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        setattr(sys, name, os.fdopen(number, "w", closefd=False))


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
