"""Processes on this machine that stand for the nodes of a cluster."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from lightning.pytorch import Trainer

from amask_solo.callbacks.summary import Summary
from tests.cli.command import BARE, SMALL, TINY
from tests.cli.forked import Forked

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from soak import children, leaves  # noqa: E402

STEPS, EPOCHS = 12, 2
SETTINGS = [
    *TINY,
    *SMALL,
    *BARE,
    "advantage=0",
    f"max_epochs={EPOCHS}",
]
ALONE = [*SETTINGS, f"data.num_train={8 * STEPS}"]
TWO = [
    *SETTINGS,
    f"data.num_train={16 * STEPS}",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.sync_batchnorm=false",
    "trainer.num_nodes=2",
    "trainer.log_every_n_steps=1",
    "trainer.devices=1",
]
PATIENCE = 240
PATHS = ("best_model_path", "dirpath", "last_model_path")
"""Where a callback of Lightning's has put its files."""


def by_hand(rank: int) -> dict[str, str]:
    """Return what a user sets who starts one process on each node."""
    return {"NODE_RANK": str(rank)}


def by_srun(rank: int) -> dict[str, str]:
    """Return what srun sets for a task on each node."""
    place = {"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": 0}
    job = {"SLURM_JOB_ID": 1234567, "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 1, "SLURM_NNODES": 2}
    return {name: str(value) for name, value in (place | job).items()} | {"SLURM_JOB_NAME": "train"}


def start(
    root: Path, *argv: str, place: Callable[[int], Mapping[str, str]] = by_hand, nodes: Sequence[int] = (0, 1)
) -> list[Forked]:
    """Start a process on each node, with a working directory of its own: ``root/node0``, ``root/node1``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in nodes:
        cwd = root / f"node{rank}"
        cwd.mkdir(exist_ok=True)
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **place(rank)}
        with mock.patch.dict(os.environ, where), (root / f"said{rank}.txt").open("a") as said:
            started.append(Forked("pretrain", *argv, cwd=cwd, out=said, patience=PATIENCE))
    return started


def start_launched(root: Path, command: str, *argv: str) -> subprocess.Popen[bytes]:
    """Start a command whose jobs submitit runs on this machine."""
    words = [sys.executable, "-m", f"amask_solo.cli.{command}", *argv, "hydra/launcher=submitit_local"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with (root / "said.txt").open("w") as said:
        return subprocess.Popen(words, cwd=root, env={**os.environ, "PYTHONPATH": path}, stdout=said, stderr=said)


def tell(root: Path, number: int, name: str = "") -> None:
    """Send a signal to the task of a launched job, as SLURM does: the one whose output names the run."""
    (job,) = (int(file.parent.name) for file in root.glob("**/.submitit/*/*_log.out") if name in file.read_text())
    (task,) = children(job)
    os.kill(task, number)


def until(is_so: Callable[[], bool], command: subprocess.Popen[bytes] | None = None) -> None:
    """Wait, at most as long as a command is at work."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        assert command is None or command.poll() is None
        time.sleep(0.005)


def rows(folder: Path) -> int:
    """Return how many rows of metrics a run has written."""
    file = folder / "metrics.csv"
    return file.read_text().count("\n") - 1 if file.is_file() else 0


def differences(one: Path, two: Path) -> list[str]:
    """Return what differs in the last checkpoints of two runs, apart from their places and what was measured."""
    states = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (one, two))
    first, second = (dict(leaves(state)) for state in states)
    return sorted(
        place
        for place in first.keys() | second.keys()
        if first.get(place) != second.get(place) and not place.endswith(PATHS)
    )


@contextmanager
def weights_kept(root: Path) -> Iterator[None]:
    """Let each process write its own weights at the end of a run: ``root/weights0.pt``, ``root/weights1.pt``."""
    on_train_end = Summary.on_train_end

    def keep(self: Summary, trainer: Trainer, model: torch.nn.Module) -> None:
        torch.save(model.state_dict(), root / f"weights{trainer.global_rank}.pt")
        on_train_end(self, trainer, model)

    with mock.patch.object(Summary, "on_train_end", keep):
        yield
