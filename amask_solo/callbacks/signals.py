"""What a cluster says before it takes a machine away: a signal, a minute or two ahead."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

REQUEUE = (signal.SIGUSR1, signal.SIGUSR2)
"""What a job is warned with; submitit queues it again then."""

LOOK = 10  # steps between two looks at what the other processes were told, which waits for the device

Handler = Callable[[int, FrameType | None], Any]


class EndAtSignal(Callback):
    """End the run between two steps, all processes at the same, with a checkpoint; only then do what was to be done.

    Lightning would stop in the middle of a step, and each process at another one. Within a job of submitit, SIGTERM
    alone does not end the run but saves it: submitit waits for a second signal to queue the job again, and where none
    comes, SLURM itself queues again a job that has not ended by then.

    Args:
        checkpoint: The file to write.
    """

    def __init__(self, checkpoint: str | Path) -> None:
        self.path = Path(checkpoint)
        self._told: int | None = None
        self._requeue: dict[int, Handler] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Listen; Lightning gives back all handlers at the end."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in REQUEUE:
            # Python gives such a signal no handler of its own.
            if callable(handler := signal.getsignal(number)):
                self._requeue[number] = handler
        in_job = bool(self._requeue) or "SLURM_JOB_ID" in os.environ
        for number in (signal.SIGTERM, *(REQUEUE if in_job else ())):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._told = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, or let Lightning end here, if any process was told to."""
        del outputs, batch
        # After the last step of an epoch, what belongs to its end would be lost.
        at_end = trainer.is_last_batch and trainer.num_training_batches > 1
        if at_end or (trainer.world_size > 1 and batch_idx % LOOK):
            return
        told = self._told or 0
        if trainer.world_size > 1:
            told = int(trainer.strategy.reduce(torch.tensor(told, device=pl_module.device), reduce_op="max"))
        if told == signal.SIGTERM and self._requeue:
            trainer.save_checkpoint(self.path)
            self._told = None if self._told == told else self._told
        elif told:
            self._told = told
            trainer._signal_connector.received_sigterm = True

    def leave(self, *, first: bool) -> None:
        """End the process, after handing the signal to whoever was to get it.

        Args:
            first: Whether this is the first process of the run, whose exit code counts: as a shell has it.
        """
        if self._told in self._requeue:
            self._requeue[self._told](self._told, None)
        sys.exit(128 + (self._told or signal.SIGTERM) if first else 0)
