"""Keep the jobs of one command (``-m``) apart: each writes to a place of its own, and has processes of its own."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from amask_solo.cli.overrides import read_flags
from amask_solo.errors import UserError
from amask_solo.runs.run_folder import PLACE, RANKS

SWEEPING = ("hydra.mode", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper", "hydra.sweep")
"""What a job in a process of its own is not asked again."""

STARTED = ({*RANKS} - {"SLURM_PROCID"}) | {*PLACE, "WORLD_SIZE"}
"""The variables that Lightning leaves when it has started the other processes of a run."""

TASKS = "SLURM_NTASKS"
"""The variable with the number of processes that SLURM has started; there is one in a shell by ``srun --pty`` too."""


def job_number() -> int:
    """Return the number of the present job; 0 if there is but one."""
    hydra: Any = HydraConfig.get()
    return OmegaConf.select(hydra, "job.num", default=0)


def own_place(word: Path, place: Path, remedy: str) -> None:
    """Say where the present job writes, in the folder ``word`` in which the jobs of a command leave word.

    Raises:
        UserError: If an earlier job of this command writes there too, so that only one of them would be left.
    """
    place = place.resolve()
    said = f"{job_number()} {place}"
    file = word / f"{hashlib.sha256(bytes(place)).hexdigest()}.place"
    with suppress(FileNotFoundError):  # a job on another machine
        try:
            with file.open("x") as mark:
                mark.write(said)
        except FileExistsError as error:
            if file.read_text() != said:
                raise UserError(f"Several jobs of this command would write to {place}. {remedy}") from error


def places(word: Path) -> list[Path]:
    """Return where the jobs of a command write."""
    return [Path(file.read_text().partition(" ")[2]) for file in word.glob("*.place")]


@contextmanager
def own_processes() -> Iterator[None]:
    """Let a job of a sweep start the other processes of its run with its own settings, and leave nothing of them.

    Lightning starts them by the arguments of the command, which would make all jobs in each of them; then they keep
    step with the first process only as long as no job is refused. If a launcher such as torchrun has started this
    process too, all of them make all jobs.
    """
    hydra: Any = HydraConfig.get()
    launched = any(name in os.environ for name in STARTED) or os.environ.get(TASKS, "1") != "1"
    if hydra.mode != RunMode.MULTIRUN or launched:
        yield
        return
    arguments = sys.argv[1:]
    sys.argv[1:] = _of_one_job(arguments, hydra.overrides)
    try:
        yield
    finally:
        sys.argv[1:] = arguments
        for name in STARTED:
            os.environ.pop(name, None)
        torch: Any = sys.modules.get("torch")
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _of_one_job(arguments: list[str], overrides: Any) -> list[str]:
    flags = [text for text in arguments if text not in ("-m", "--multirun")]
    for text in read_flags(arguments).overrides:
        flags.remove(text)
    kept = [text for text in overrides.hydra if not text.lstrip("+~").startswith(SWEEPING)]
    return [*kept, *overrides.task, *flags]
