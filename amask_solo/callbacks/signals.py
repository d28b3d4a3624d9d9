"""Handle what ends a run: Ctrl-C, a closed terminal, a cluster that takes the machine away, or a limit of time."""

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
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_only

from amask_solo.callbacks.epochs import is_last_epoch

REQUEUE = (signal.SIGUSR1, signal.SIGUSR2)
"""The signals that warn a job, after which submitit queues it again."""

LOOK = 10  # steps between two checks for signals of the other processes, which wait for the device


class EndAtSignal(Callback):
    """At a signal, save a checkpoint and end all processes of the run after the same step; then run the old handler.

    Lightning would stop in the middle of a step, and each process at a different one. A step is one of the optimizer,
    so accumulated gradients are not lost. A second Ctrl-C ends the run at once, with the checkpoint that there is.

    Within a job of submitit, SIGTERM saves the run but does not end it: submitit waits for a second signal before it
    queues the job again, and if none comes, SLURM itself queues a job again that is still running.

    Args:
        checkpoint: The file that is saved.
        max_time: After which the run ends as at a signal, that of an alarm: a text as ``DD:HH:MM:SS``, or the arguments
            of a ``timedelta``; ``None`` for no limit. It is the time of this command. Lightning's own limit counts the
            time before a resumption, too, and leaves out the rest of the epoch.
    """

    def __init__(self, checkpoint: str | Path, max_time: Any = None) -> None:
        self.path = Path(checkpoint)
        self._clock = Timer(max_time)
        self._told: int | None = None
        self._save_next = False
        self._requeue: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers; Lightning restores the old ones at the end."""
        self._clock.on_train_start(trainer, pl_module)
        if threading.current_thread() is not threading.main_thread():
            return
        for number in REQUEUE:
            # Only another program's handler is callable; Python itself has none for these signals.
            if callable(handler := signal.getsignal(number)):
                self._requeue[number] = handler
        in_job = bool(self._requeue) or "SLURM_JOB_ID" in os.environ
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, *(REQUEUE if in_job else ())):
            # `nohup` and a shell's background jobs ignore some, which then stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._told == number:
                signal.default_int_handler(number, frame)
            _say("Interrupted: the run ends after this step, and is saved. Ctrl-C again ends it at once, unsaved.")
        self._told = number

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Save the state after the last step, which the method has ended by now."""
        if self._save_next:
            trainer.save_checkpoint(self.path)
            self._save_next = False

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Leave out the batch that has been fetched but not begun."""
        if self._save_next:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            progress["is_last_batch"] = False
            for count in (progress["total"], progress["current"]):
                count["ready"] = count["started"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, or let Lightning end the run, if any process got a signal or has no time left."""
        del outputs, batch
        # The end of an epoch has work of its own, and comes next.
        if trainer.is_last_batch or trainer.fit_loop.epoch_loop._should_accumulate():
            return
        if trainer.world_size > 1 and batch_idx // trainer.accumulate_grad_batches % LOOK:
            return
        self._obey(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do so after an epoch; the last one ends the run in any case."""
        if not is_last_epoch(trainer):
            self._obey(trainer, pl_module)

    def _obey(self, trainer: Trainer, pl_module: LightningModule) -> None:
        told = self._told or self._alarm()
        if trainer.world_size > 1:
            told = int(trainer.strategy.reduce(torch.tensor(told, device=pl_module.device), reduce_op="max"))
        if told == signal.SIGTERM and self._requeue:
            self._save_next = True
            self._told = None if self._told == told else self._told
        elif told:
            self._told = told
            trainer._signal_connector.received_sigterm = True

    def _alarm(self) -> int:
        left = self._clock.time_remaining()
        if left is None or left > 0:
            return 0
        _say("trainer.max_time is over: the run ends after this step, and is saved.")
        return signal.SIGALRM

    def leave(self, *, first: bool) -> None:
        """Call the old handler of the signal, and end the process, the first one with a shell's code for the signal."""
        if self._told in self._requeue:
            self._requeue[self._told](self._told, None)
        sys.exit(128 + (self._told or signal.SIGTERM) if first else 0)


@rank_zero_only
def _say(words: str) -> None:
    # A handler may interrupt a `print`, which must not begin anew within itself.
    os.write(2, f"\n{words}\n".encode())
