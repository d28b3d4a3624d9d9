"""Make a run: pretrain and evaluate it, each in a process of its own.

So memory is measured for each run alone, one that crashes takes no other with it, and each can be made again by hand
with the very command that made it.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from amask_solo.comparison.plan import SCORES, Run
from amask_solo.errors import UserError

LAST = Path("checkpoints", "last.ckpt")
PATIENCE = 120.0  # seconds in which an interrupted run may write its checkpoint


def pretrain(run: Run) -> None:
    """Pretrain a run, from its last checkpoint if it was interrupted.

    Raises:
        UserError: If it fails.
    """
    go_on = (run.folder / LAST).is_file() and (run.folder / "config.yaml").is_file()
    call("pretrain", [*run.settings, "resume=true" if go_on else "overwrite=true"], log=_log(run))


def evaluate(run: Run, protocols: Sequence[str], settings: Sequence[str]) -> None:
    """Evaluate a run.

    Args:
        run: A finished run.
        protocols: The protocols to run.
        settings: Further arguments of ``amask-evaluate``.

    Raises:
        UserError: If it fails.
    """
    call(
        "evaluate",
        [f"ckpt={run.folder}", f"output={run.folder / SCORES}", f"protocol=[{','.join(protocols)}]", *settings],
        log=_log(run),
    )


def _log(run: Run) -> Path:
    return run.folder.parent.parent / "logs" / f"{run.name}.txt"


def call(command: str, arguments: Sequence[str], *, log: Path) -> None:
    """Run a command of this package, and keep what it prints.

    Args:
        command: ``pretrain`` or ``evaluate``.
        arguments: Its arguments.
        log: The file that its output is added to.

    Raises:
        UserError: If it fails; with its last line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        words = [sys.executable, "-m", f"amask_solo.cli.{command}", *arguments]
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # Ctrl-C has reached the run as well, which now writes a checkpoint.
            process.wait(timeout=PATIENCE)
            raise
    if code:
        said = log.read_text().strip().splitlines()
        raise UserError(f"amask-{command} failed: {said[-1] if said else f'exit code {code}'} (more in {log})")
