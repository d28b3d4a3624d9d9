"""The processes of a run on several devices end together."""

import os
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

from amask_solo.errors import UserError

LOST = re.compile(r"Connection (closed|reset) by peer|Broken pipe|remote process exited")
"""What gloo and NCCL say when a process is gone."""

LOOK = 0.5  # seconds between two looks at the process that started this one

DIED = "Another process of the run has died: killed, or out of memory. resume=true goes on from the last checkpoint."


@contextmanager
def end_together(trainer: Trainer) -> Iterator[None]:
    """End this process soon after another one of the run, and say so in one line for all.

    Lightning's first process ends itself if one that it has started dies. Here are the other two cases: the one that
    notices by a lost connection, which would end in a traceback; and the first process itself dying, which over NCCL
    others would notice after many minutes.

    Raises:
        UserError: If the connection to another process is lost.
    """
    by_lightning = isinstance(getattr(trainer.strategy, "cluster_environment", None), LightningEnvironment)
    if started := by_lightning and trainer.local_rank > 0:
        threading.Thread(target=_follow, args=(os.getppid(), trainer.local_rank), daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        if trainer.world_size == 1 or not LOST.search(str(error)):
            raise
        if started:
            # Time for `_follow` to find the first process gone; if it is still there, it sees this one end and says it.
            time.sleep(2 * LOOK)
            os._exit(1)
        raise UserError(DIED) from error


def _follow(first: int, local_rank: int) -> None:
    """End this process when the one that started it has ended."""
    while os.getppid() == first:
        time.sleep(LOOK)
    if local_rank == 1:
        warnings.warn(DIED, stacklevel=2)
    # Not `sys.exit`: at its end Python would wait for the lost ones.
    os._exit(1)
