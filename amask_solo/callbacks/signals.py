"""Handle the signals that a cluster sends a minute or two before it takes a machine away."""

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
"""The signals that warn a job, after which submitit queues it again."""

LOOK = 10  # steps between two checks for signals of the other processes, which wait for the device

Handler = Callable[[int, FrameType | None], Any]


class EndAtSignal(Callback):
    """At a signal, save a checkpoint and end all processes of the run after the same step; then run the old handler.

    Lightning would stop in the middle of a step, and each process at a different one. Within a job of submitit, SIGTERM
    saves the run but does not end it: submitit waits for a second signal before it queues the job again, and if none
    comes, SLURM itself queues a job again that is still running.

    Args:
        checkpoint: The file to write.
    """

    def __init__(self, checkpoint: str | Path) -> None:
        self.path = Path(checkpoint)
        self._told: int | None = None
        self._requeue: dict[int, Handler] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Install the handlers; Lightning restores the old ones at the end."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in REQUEUE:
            # Only another program's handler is callable; Python itself has none for these signals.
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
        """Save, or let Lightning end the run, if any process got a signal."""
        del outputs, batch
        # After the last step of an epoch, the work at its end would be lost.
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
        """Call the old handler of the signal, and end the process, the first one with a shell's code for the signal."""
        if self._told in self._requeue:
            self._requeue[self._told](self._told, None)
        sys.exit(128 + (self._told or signal.SIGTERM) if first else 0)
