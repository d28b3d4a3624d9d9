"""Write the results of a run to one small file."""

import json
import math
import platform
import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from amask_solo.callbacks.epochs import batches_of_step
from amask_solo.errors import UserError
from amask_solo.files import write_json
from amask_solo.layout import SUMMARY
from amask_solo.versions import versions

WARM_UP = 5  # batches that are not timed because of compilation, caches and the first batch of the loader
WINDOW = 24
"""Batches whose mean time is one measurement: so many that work of every second, third, fourth, ... has its share."""

VALIDATED = ("*val_loss", "*val_acc1", "*val_acc5")
"""What the host's validation measures, as patterns; the numbers of the teacher's classifier have a prefix."""


class Summary(Callback):
    """Write ``summary.json`` when a run ends, however it ends, with plain ``facts`` that describe the run."""

    def __init__(self, folder: str | Path, facts: Mapping[str, Any]) -> None:
        self.path = Path(folder) / SUMMARY
        self.facts = dict(facts)
        self._times: deque[float] = deque(maxlen=10_000)
        self._last: float | None = None
        self._start = 0.0
        self._before = 0.0  # seconds of a run until it was interrupted
        self._measured: dict[str, Any] = {}  # in the last epoch that was done
        self._validated = 0  # epochs until the last validation
        self._stale: list[str] = []  # what was not measured in the last epoch, but in an earlier one, as patterns
        self._batches = 0
        self._running = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._running = True
        self._start = time.perf_counter()
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far and the last measurements, for a resumed run."""
        return {"seconds": self._seconds(), "measured": self._measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds and measurements of an interrupted run."""
        self._before, self._measured = state_dict["seconds"], state_dict.get("measured", {})

    def _seconds(self) -> float:
        return self._before + (time.perf_counter() - self._start if self._running else 0.0)

    def on_train_epoch_start(self, *_: Any) -> None:
        """Exclude the time between epochs."""
        self._last = None

    def on_train_batch_end(self, *_: Any) -> None:
        """Measure the time from the end of one batch to the end of the next, including loading."""
        now = time.perf_counter()
        self._batches += 1
        if self._last is not None and self._batches > WARM_UP:
            self._times.append(now - self._last)
        self._last = now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note the epoch, since the trainer keeps the numbers of the last validation in later ones."""
        self._validated = trainer.current_epoch + 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Keep the measurements in the checkpoint, for a run that is killed after its last epoch."""
        rare = [callback for callback in trainer.callbacks if hasattr(callback, "measures")]  # type: ignore[attr-defined]
        self._stale = [name for callback in rare if not callback.is_due(trainer) for name in callback.measures]
        if self._validated <= trainer.current_epoch:
            self._stale += VALIDATED
        self._measured = self._measure(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the file."""
        self._write(trainer, status="finished")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the file, unless it exists, for a resumed run with nothing left to train."""
        with suppress(OSError, ValueError, LookupError):
            if json.loads(self.path.read_text())["status"] == "finished":
                return
        self._write(trainer, status="finished", measured=self._measured)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Write the file if training had begun."""
        if self._running:
            interrupted = isinstance(exception, KeyboardInterrupt | SIGTERMException)
            # The exception explains the failure; writing may fail for the same reason, such as a full disk.
            with suppress(UserError):
                self._write(trainer, status="interrupted" if interrupted else "failed")

    def _measure(self, trainer: Trainer) -> dict[str, Any]:
        found = trainer.callback_metrics.items()
        numbers = {name: _plain(value) for name, value in found if not any(fnmatch(name, old) for old in self._stale)}
        masks = {name: numbers.pop(name) for name in list(numbers) if name.startswith("masks/")}
        in_step = batches_of_step(trainer)
        return {
            "knn_acc1": numbers.get("val_knn_acc1"),
            "linear_acc1": numbers.get("val_acc1") if self.facts.get("classes", 1) else None,
            "masks": {name.removeprefix("masks/"): value for name, value in masks.items()},
            "metrics": numbers,
            "seconds_per_step": _plain(typical(list(self._times)) * in_step),
            "mean_seconds_per_step": _plain(statistics.fmean(self._times or [math.nan]) * in_step),
            "batches_per_step": _plain(in_step),
            "peak_memory_mib": _peak_memory(trainer.strategy.root_device),
        }

    def _write(self, trainer: Trainer, *, status: str, measured: Mapping[str, Any] | None = None) -> None:
        # A checkpoint that is written after this includes all seconds.
        self._before, self._running = self._seconds(), False
        if not trainer.is_global_zero:
            return
        summary = {
            "status": status,
            **self.facts,
            "epochs_done": trainer.current_epoch,
            "steps": trainer.global_step,
            **(measured or self._measure(trainer)),
            "seconds": round(self._before, 1),
            "device": device_name(trainer.strategy.root_device),
            "processes": trainer.world_size,
            "precision": trainer.precision,
            "versions": versions(),
        }
        write_json(self.path, summary)


def typical(times: Sequence[float]) -> float:
    """Return the time of a batch: the median over windows of their mean; NaN without batches.

    A plain median would hide work of fewer than half of the batches, as that of a masker that moves in every third or
    of an optimizer that steps in every fourth; a plain mean would include each pause of the machine.

    Example:
        >>> typical([1.0, 1.0, 4.0] * 20), typical([1.0, 1.0, 4.0] * 20 + [3600.0])
        (2.0, 2.0)
    """
    windows = [times[start : start + WINDOW] for start in range(0, len(times) - WINDOW + 1, WINDOW)]
    return statistics.median(map(statistics.fmean, windows or [times or [math.nan]]))


def _plain(value: Any) -> float | None:
    number = float(value)
    return float(f"{number:.7g}") if math.isfinite(number) else None  # JSON has no NaN.


def device_name(device: torch.device) -> str:
    """Return a description of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    # The unit is bytes on macOS and KiB elsewhere.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)
