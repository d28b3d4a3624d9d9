"""Show the progress of a run: a bar in a terminal, one line for each epoch elsewhere."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from rich.console import Console

SHOWN = {
    "adversary/loss": "loss",
    "train_class_loss": "class_loss",
    "masks/area": "area",
    "val_acc1": "linear",
    "val_knn_acc1": "knn",
}
"""The metrics that are shown -> their labels."""


def progress_bar() -> ProgressBar:
    """Return a bar for a terminal, or a callback that prints one line for each epoch, which suits a log file.

    It must come after the callbacks whose numbers it shows.
    """
    return _Bar() if Console().is_terminal else _Lines()


def _shown(trainer: Trainer) -> dict[str, str]:
    metrics = trainer.callback_metrics
    return {label: f"{float(metrics[n]):.3g}" for n, label in SHOWN.items() if n in metrics}


class _Bar(RichProgressBar):
    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:  # noqa: ARG002
        return dict(_shown(trainer))


class _Lines(ProgressBar):
    def __init__(self) -> None:
        super().__init__()
        self._start = time.perf_counter()  # a resumed run may begin within an epoch

    def disable(self) -> None:
        """Do nothing: there are no bars to hide."""

    def enable(self) -> None:
        """Do nothing: there are no bars to show."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del trainer, pl_module
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del pl_module
        if trainer.is_global_zero:
            numbers = "  ".join(f"{name} {value}" for name, value in _shown(trainer).items())
            seconds = time.perf_counter() - self._start
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            Console().print(f"{epoch}  {numbers}  {seconds:.1f} s", highlight=False, soft_wrap=True)
