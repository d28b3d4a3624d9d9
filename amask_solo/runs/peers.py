"""Make all processes of a run on several devices meet, and end together."""

import os
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

from amask_solo.callbacks.progress import tell
from amask_solo.errors import UserError, some
from amask_solo.runs.run_folder import PLACE

LOST = re.compile(r"Connection (closed|reset) by peer|Broken pipe|remote process exited")
"""The messages of gloo and NCCL after a process has ended."""

LOOK = 0.5  # seconds between two looks at the process that started this one

DIED = "Another process of the run has died: killed, or out of memory. resume=true goes on from the last checkpoint."


def meet(trainer: Trainer) -> None:
    """Say for whom the processes of this node wait, if a user has started those of each node.

    Raises:
        UserError: If nothing says where they meet, so that they would wait for ever.
    """
    if trainer.num_nodes == 1 or not _by_lightning(trainer):
        return
    if not all(os.environ.get(name) for name in PLACE):
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes}, but no launcher has started this process, and nothing says where "
            f"the others are. Start it by srun or torchrun, or on each node with {', '.join(PLACE)} and NODE_RANK set; "
            "on a single machine leave trainer.num_nodes out."
        )
    if trainer.local_rank == 0:
        place = ":".join(os.environ[name] for name in PLACE)
        tell(f"Node {trainer.node_rank} of {trainer.num_nodes} waits at {place} for the others, by their NODE_RANK.")


def _by_lightning(trainer: Trainer) -> bool:
    """Return whether no other program has started the processes."""
    return isinstance(getattr(trainer.strategy, "cluster_environment", None), LightningEnvironment)


class SameSettings(Callback):
    """Raise a ``UserError`` in the processes of a run whose settings are not those of the first one.

    Args:
        settings: The settings of this process, by their keys.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Compare them, once the processes know each other."""
        first = trainer.strategy.broadcast(self.settings)
        if other := sorted(key for key in first.keys() | self.settings if first.get(key) != self.settings.get(key)):
            said = some([f"{key}={self.settings.get(key)} instead of {first.get(key)}" for key in other])
            raise UserError(
                f"Process {trainer.global_rank} of the run has other settings than the first one: {said}. Start all of "
                "them with the same."
            )


@contextmanager
def end_together(trainer: Trainer) -> Iterator[None]:
    """End this process soon after another one of the run has ended, with one line for all of them.

    Lightning's first process ends if one that it has started dies. This covers two other cases: a process that notices
    a lost connection, which would print a traceback, and the death of the first process, which the others would only
    notice after many minutes with NCCL.

    Raises:
        UserError: If the connection to another process is lost.
    """
    if started := _by_lightning(trainer) and trainer.local_rank > 0:
        threading.Thread(target=_follow, args=(os.getppid(), trainer.local_rank), daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        if trainer.world_size == 1 or not LOST.search(str(error)):
            raise
        if started:
            # Give `_follow` time to find that the first process has ended; otherwise that one reports this end.
            time.sleep(2 * LOOK)
            os._exit(1)
        raise UserError(DIED) from error


def _follow(first: int, local_rank: int) -> None:
    """End this process when the one that started it has ended."""
    while os.getppid() == first:
        time.sleep(LOOK)
    if local_rank == 1:
        warnings.warn(DIED, stacklevel=2)
    # `sys.exit` would not do: Python would wait for the lost processes.
    os._exit(1)
