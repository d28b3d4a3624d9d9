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

LOOK = 5.0  # seconds between two looks at the process that started this one

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
    started = isinstance(getattr(trainer.strategy, "cluster_environment", None), LightningEnvironment)
    first = os.getppid() if started and trainer.local_rank else None
    if first is not None:
        threading.Thread(target=_outlive_not, args=(first, trainer.local_rank), daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        if trainer.world_size == 1 or not LOST.search(str(error)):
            raise
        if first is not None:
            # The first process says it, if it is still there.
            time.sleep(1)
            _leave(first, trainer.local_rank)
        raise UserError(DIED) from error


def _outlive_not(first: int, local_rank: int) -> None:
    while os.getppid() == first:
        time.sleep(LOOK)
    _leave(first, local_rank)


def _leave(first: int, local_rank: int) -> None:
    if local_rank == 1 and os.getppid() != first:
        warnings.warn(DIED, stacklevel=2)
    # Not `sys.exit`: at its end Python would wait for the lost ones.
    os._exit(1)
