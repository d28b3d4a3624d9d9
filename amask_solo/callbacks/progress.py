"""Show the progress of a run: what it is, then a bar in a terminal, or one line for each epoch elsewhere."""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from rich.console import Console

from amask_solo.callbacks.epochs import steps_of_epoch
from amask_solo.callbacks.online_knn import OnlineKNN
from amask_solo.callbacks.summary import device_name

LOSS = re.compile(r"(?!val_|\w*class_)\w+_(loss|cos_sim)")
"""The host's names of the losses of its methods, the first of which is the whole; at the end of an epoch, its mean."""

SHOWN = {
    "train_class_loss": "class_loss",
    "masks/area": "area",
    "val_acc1": "linear",
    "val_knn_acc1": "knn",
}
"""The metrics that are shown -> their labels."""

Shown = Callable[[Trainer], dict[str, str]]
"""Returns what is shown of the present epoch, by its label."""

PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


def tell(line: str) -> None:
    """Print a line about the run."""
    Console().print(line, **PLAIN)


def progress_bar(*, first_epoch: int = 0) -> ProgressBar:
    """Return a bar for a terminal, or a callback that prints one line for each epoch, which suits a log file.

    It must come after the callbacks whose numbers it shows. The method has a loss from ``first_epoch`` on.
    """
    shown = partial(_shown, first_epoch=first_epoch)
    return _Bar(shown) if Console().is_terminal else _Lines(shown)


class Beginning(Callback):
    """Print one line before the first epoch, from the facts of a ``Summary``: images, device, network and steps."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line."""
        if not trainer.is_global_zero:
            return
        facts, parameters = self.facts, sum(p.numel() for p in pl_module.parameters())
        line = (
            f"{facts['train_images']} images ({facts['val_images']} more to validate), "
            f"{facts['classes'] or 'no'} classes, {facts['image_size']} px; {facts['backbone']}, "
            f"{parameters / 1e6:.1f} million parameters with heads, teacher and masker; "
            f"{device_name(trainer.strategy.root_device)}"
        )
        processes = f" x {trainer.world_size}" if trainer.world_size > 1 else ""
        steps = steps_of_epoch(trainer)
        Console().print(f"{line}{processes}; {steps} step{'s' if steps != 1 else ''} an epoch", **PLAIN)


def _shown(trainer: Any, *, first_epoch: int) -> dict[str, str]:
    metrics = trainer.callback_metrics
    stale = [c for c in trainer.callbacks if isinstance(c, OnlineKNN) and not c.is_due(trainer)]
    loss = dict.fromkeys([*filter(LOSS.fullmatch, metrics)][:1], "loss")
    # Without labels, the host's classifier has a loss of 0 that nobody measured, and an accuracy of 0.
    unlabeled = not metrics.get("train_class_loss")
    hidden = {"loss": trainer.current_epoch < first_epoch, "knn": bool(stale)}
    unmeasured = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) != 0
    hidden |= {"class_loss": unlabeled, "linear": unlabeled or unmeasured}
    names = {name: label for name, label in (loss | SHOWN).items() if not hidden.get(label)}
    return {label: f"{float(metrics[n]):.3g}" for n, label in names.items() if n in metrics}


class _Bar(RichProgressBar):
    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self._shown = shown

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:  # noqa: ARG002
        return dict(self._shown(trainer))


class _Lines(ProgressBar):
    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self._shown = shown
        self._start = time.perf_counter()  # a resumed run may begin within an epoch

    def disable(self) -> None:
        """Do nothing: there are no bars to hide."""

    def enable(self) -> None:
        """Do nothing: there are no bars to show."""

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            numbers = "  ".join(f"{name} {value}" for name, value in self._shown(trainer).items())
            seconds = time.perf_counter() - self._start
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            Console().print(f"{epoch}  {numbers}  {seconds:.1f} s", **PLAIN)
