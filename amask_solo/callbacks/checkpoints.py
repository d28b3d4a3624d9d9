"""Save the last, the best and the interrupted state of a run, but never a broken one."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from amask_solo.callbacks.epochs import is_due
from amask_solo.callbacks.loggers import MetricsFile
from amask_solo.game.monitor import all_finite
from amask_solo.layout import LAST


def checkpoints(
    folder: str | Path, *, monitor: str | None = None, every_n_epochs: int = 1, save_every: int = 1
) -> list[Callback]:
    """Return the callbacks that write ``last.ckpt`` every ``save_every`` epochs, and ``best.ckpt``.

    The best one has the highest value of ``monitor``, which is measured every ``every_n_epochs`` epochs. Without a
    monitor (for example for images without labels) there is no ``best.ckpt``.
    """
    last = LastCheckpoint(folder, every_n_epochs=save_every)
    # The last checkpoint names the best one, so it is written second.
    return [BestCheckpoint(folder, monitor, every_n_epochs=every_n_epochs), last] if monitor else [last]


class BestCheckpoint(ModelCheckpoint):
    """Write ``best.ckpt`` whenever its monitor is higher than before, as measured every few epochs and in the last one.

    Lightning's own class would leave out the last epoch.
    """

    def __init__(self, folder: str | Path, monitor: str, *, every_n_epochs: int = 1) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
            mode="max",
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """The key of Lightning's own class, which the checkpoints of earlier versions have."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save, if the epoch was measured and is the best one so far."""
        if is_due(trainer, every=self._every_n_epochs) and not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


class LastCheckpoint(Checkpoint):
    """Write ``last.ckpt`` every few epochs, at the end, and when a user or a cluster interrupts the run.

    Lightning's ``save_on_exception`` also writes in three cases in which it should not: after an error, when the state
    may be broken; after the last step, since a run resumed there would skip the measurements that follow it; and
    between two epochs, since a run resumed there would skip the second one.
    """

    def __init__(self, folder: str | Path, *, every_n_epochs: int = 1) -> None:
        self.path, self.every_n_epochs = Path(folder) / LAST, every_n_epochs
        self._within_epoch = False

    def on_train_batch_start(self, *_: Any) -> None:
        """Note that an epoch has begun; Lightning's count of batches does not show it between two epochs."""
        self._within_epoch = True

    def on_train_epoch_end(self, trainer: Any, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save, if this epoch is due."""
        _write_row(trainer)
        due = is_due(trainer, every=self.every_n_epochs) or trainer.received_sigterm
        if due and not trainer.fast_dev_run:  # a run of a few batches saves nothing
            trainer.save_checkpoint(self.path)
        self._within_epoch = False

    def on_exception(self, trainer: Any, pl_module: LightningModule, exception: BaseException) -> None:
        """Save after an interruption, if the state is sound and a run can resume from it.

        Ctrl-C raises its own error in the middle of a step, after which a run would not go on as if nothing had been.
        """
        if trainer.fast_dev_run or not isinstance(exception, KeyboardInterrupt | SIGTERMException):
            return
        between_steps = isinstance(exception, SIGTERMException) and not trainer.fit_loop.epoch_loop._should_accumulate()
        if self._within_epoch and between_steps and trainer.global_step:
            steps_left = trainer.global_step < trainer.estimated_stepping_batches
            if (steps_left or not self.path.exists()) and all_finite(pl_module.parameters()):
                trainer.save_checkpoint(self.path)
        if self.path.exists():
            rank_zero_info(f"Interrupted; continue with resume=true from {self.path}.")


def _write_row(trainer: Trainer) -> None:
    """Write the numbers of an epoch to ``metrics.csv`` before its checkpoint.

    Lightning writes the same numbers after the checkpoint, so that a run killed in between would lose them.
    """
    # All processes take part in the means; only the first one writes.
    numbers = trainer._logger_connector.metrics["log"]
    step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
    for logger in trainer.loggers:
        if isinstance(logger, MetricsFile) and numbers:
            logger.log_metrics({name: float(value) for name, value in numbers.items()}, step)
