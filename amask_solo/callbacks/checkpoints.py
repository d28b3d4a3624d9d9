"""Which states of a run are kept: the last, the best, an interrupted one, never a broken one."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from amask_solo.callbacks.loggers import MetricsFile
from amask_solo.game.monitor import all_finite
from amask_solo.layout import LAST


def checkpoints(
    folder: str | Path,
    *,
    monitor: str | None = None,
    every_n_epochs: int = 1,
    save_every: int = 1,
    epochs: int = 1,
) -> list[Callback]:
    """Return the callbacks that write ``last.ckpt`` (every so many epochs, at the end, on Ctrl-C) and ``best.ckpt``.

    Args:
        folder: Where the files go.
        monitor: The metric, higher is better, that decides which checkpoint is the best; without
            one (as for images without labels) there is no ``best.ckpt``.
        every_n_epochs: How often ``monitor`` is measured.
        save_every: After how many epochs ``last.ckpt`` is written.
        epochs: How many the run has, so that it is written after the last one as well.
    """
    callbacks: list[Callback] = [KeepOnInterrupt(folder), RowBeforeCheckpoint()]
    if monitor is not None:
        callbacks.append(
            ModelCheckpoint(
                folder,
                filename="best",
                monitor=monitor,
                mode="max",
                every_n_epochs=every_n_epochs,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    last = [
        ModelCheckpoint(
            folder,
            filename=LAST.removesuffix(".ckpt"),
            every_n_epochs=every,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for every in ([save_every, epochs] if epochs % save_every else [save_every])
    ]
    return [*callbacks, *last]


class KeepOnInterrupt(Callback):
    """Write ``last.ckpt`` when the user or the scheduler of a cluster ends the run before its time.

    An error leaves the last checkpoint alone: nobody knows whether the state is sound then. So does an interruption
    after the last step, if there is one: who went on from here would never measure what comes after that step.

    Args:
        folder: Where the file goes.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LAST
        self._running = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Begin: before this the state of a resumed run may not be complete."""
        self._running = not trainer.fast_dev_run

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """End: the last epoch has been saved."""
        self._running = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save, if it was an interruption and the state is sound and worth it."""
        if not self._running or not isinstance(exception, KeyboardInterrupt | SIGTERMException):
            return
        steps_left = trainer.global_step < trainer.estimated_stepping_batches
        wanted = trainer.global_step and (steps_left or not self.path.exists())
        if wanted and all_finite(pl_module.parameters()):
            trainer.save_checkpoint(self.path)
        if self.path.exists():
            rank_zero_info(f"Interrupted; continue with resume=true from {self.path}.")


class RowBeforeCheckpoint(Checkpoint):
    """Write the numbers of an epoch to ``metrics.csv`` before its checkpoint, not after it as Lightning does.

    Who is killed in between would go on with the next epoch, and have no numbers of this one.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write what has been logged in the epoch, in the row where Lightning will write it again."""
        # All processes take part in the means; the logger writes in the first alone.
        numbers = trainer._logger_connector.metrics["log"]
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and numbers:
                logger.log_metrics({name: float(value) for name, value in numbers.items()}, step)
