"""Which states of a run are kept: the last, the best, an interrupted one, never a broken one."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from amask_solo.callbacks.loggers import MetricsFile
from amask_solo.game.monitor import all_finite
from amask_solo.layout import LAST


def checkpoints(
    folder: str | Path, *, monitor: str | None = None, every_n_epochs: int = 1, save_every: int = 1
) -> list[Callback]:
    """Return the callbacks that write ``best.ckpt`` and ``last.ckpt``.

    Args:
        folder: Where the files go.
        monitor: The metric, higher is better, that decides which checkpoint is the best; without
            one (as for images without labels) there is no ``best.ckpt``.
        every_n_epochs: How often ``monitor`` is measured.
        save_every: After how many epochs ``last.ckpt`` is written; see :class:`LastCheckpoint`.
    """
    last = LastCheckpoint(folder, every_n_epochs=save_every)
    if monitor is None:
        return [last]
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor=monitor,
        mode="max",
        every_n_epochs=every_n_epochs,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    # The last one says which the best is, so it is written after it.
    return [best, last]


class LastCheckpoint(Checkpoint):
    """Write ``last.ckpt`` every so many epochs, at the end, and when a user or a cluster ends the run before its time.

    Lightning's ``save_on_exception`` would write after an error too, when nobody knows whether the state is sound;
    after the last step: a run that goes on from there would never measure what comes after that step; and between two
    epochs: it would leave the second one out.

    Args:
        folder: Where the file goes.
        every_n_epochs: Every so many epochs; the last epoch always.
    """

    def __init__(self, folder: str | Path, *, every_n_epochs: int = 1) -> None:
        self.path, self.every_n_epochs = Path(folder) / LAST, every_n_epochs
        self._within_epoch = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note that an epoch has begun: between two of them Lightning's count of batches is still that of the first."""
        del trainer, pl_module, batch, batch_idx
        self._within_epoch = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save, if it is time."""
        _write_row(trainer)
        epoch = trainer.current_epoch + 1
        if not _is_trial(trainer) and (epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs):
            trainer.save_checkpoint(self.path)
        self._within_epoch = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save, if it was an interruption and the state is sound and worth it."""
        if _is_trial(trainer) or not isinstance(exception, KeyboardInterrupt | SIGTERMException):
            return
        if self._within_epoch and trainer.global_step:
            steps_left = trainer.global_step < trainer.estimated_stepping_batches
            if (steps_left or not self.path.exists()) and all_finite(pl_module.parameters()):
                trainer.save_checkpoint(self.path)
        if self.path.exists():
            rank_zero_info(f"Interrupted; continue with resume=true from {self.path}.")


def _is_trial(trainer: Any) -> bool:
    """Return whether the run is one of a few batches, which Lightning declares nowhere."""
    return bool(trainer.fast_dev_run)


def _write_row(trainer: Trainer) -> None:
    """Write the numbers of an epoch to ``metrics.csv`` before its checkpoint, where Lightning writes them again.

    Lightning alone writes them after it: a run that is killed in between would have no numbers of that epoch.
    """
    # All processes take part in the means; the logger writes in the first alone.
    numbers = trainer._logger_connector.metrics["log"]
    step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
    for logger in trainer.loggers:
        if isinstance(logger, MetricsFile) and numbers:
            logger.log_metrics({name: float(value) for name, value in numbers.items()}, step)
