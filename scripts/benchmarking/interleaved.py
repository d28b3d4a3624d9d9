"""Real training runs that take turns in one process.

Each run is a Lightning ``Trainer.fit`` in a thread of its own, held at the start of a batch or an epoch until it is its
turn. So a step has all of a user's step (forward and backward pass, optimizer, the teacher's average, callbacks, the
trainer itself), only one run works at a time, and other load on the machine slows all runs alike.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarking.models import synchronize

MIB = 2**20


class _Enough(Exception):  # noqa: N818 - the orderly end of a run
    pass


Unit = Literal["step", "epoch"]


class _Turns(Callback):
    """Hold a run until it may go on for some steps or epochs."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.left = 0
        self.enough = False
        self.watch: AbstractContextManager = nullcontext()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold before an epoch's first batch is fetched."""
        del pl_module
        if self.unit == "epoch":
            self._hold(first=trainer.current_epoch == 0)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Hold before a step."""
        del trainer, pl_module, batch
        if self.unit == "step":
            self._hold(first=batch_idx == 0)

    def _hold(self, *, first: bool) -> None:
        """End a turn that is over, wait for the next one, and begin it."""
        if self.left == 0:
            if not first:
                self.watch.__exit__(None, None, None)
            self.done.release()
            self.go.acquire()
            if self.enough:
                raise _Enough
            # It is entered here and not by the caller: profilers watch the thread that they are started in.
            self.watch.__enter__()
        self.left -= 1


class SameBatch:
    """A loader that costs nothing."""

    def __init__(self, batch: list, length: int = 100_000) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[list]:
        for _ in range(self.length):
            yield self.batch


class Run:
    """One of the runs that take turns.

    Args:
        model: A method of the host, stock or masked.
        data: Arguments of ``Trainer.fit``: loaders, or a data module.
        unit: What turns are counted in.
        trainer: Arguments of Lightning's ``Trainer``.

    Raises:
        Exception: Whatever the run itself raises, such as a lack of memory.
    """

    def __init__(self, model: LightningModule, data: dict[str, Any], *, unit: Unit = "step", **trainer: Any) -> None:
        self.model = model
        self._turns = _Turns(unit)
        self._trainer = Trainer(
            **trainer,
            callbacks=[self._turns],
            max_epochs=1 if unit == "step" else 100_000,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fit, args=(data,), daemon=True)
        self._thread.start()
        self._wait()

    def _fit(self, data: dict[str, Any]) -> None:
        try:
            self._trainer.fit(self.model, **data)
        except _Enough:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._turns.done.release()

    def _wait(self) -> None:
        self._turns.done.acquire()
        if self._error is not None:
            # The error is not kept, since it would keep all that the run has allocated.
            error, self._error = self._error, None
            raise error

    def turn(self, length: int, watch: AbstractContextManager | None = None) -> None:
        """Go on for some steps or epochs, inside a context that lasts exactly as long."""
        self._turns.left, self._turns.watch = length, watch or nullcontext()
        self._turns.go.release()
        self._wait()

    def stop(self) -> None:
        """End the run."""
        if self._thread.is_alive():
            self._turns.enough = True
            self._turns.go.release()
            self._thread.join()


class Times(NamedTuple):
    """How long a turn took.

    Attributes:
        seconds: By the clock on the wall.
        cpu_seconds: Of this process on all processors together. Other programs lengthen it far less than the time on
            the wall, so it is the number to compare on a shared machine.
    """

    seconds: float
    cpu_seconds: float


@contextmanager
def stopwatch(device: torch.device, report: Callable[[Times], None]) -> Iterator[None]:
    """Report the time until all work is done, on the device too."""
    synchronize(device)
    start = Times(time.perf_counter(), time.process_time())
    yield
    synchronize(device)
    report(Times(time.perf_counter() - start.seconds, time.process_time() - start.cpu_seconds))


@contextmanager
def peak_memory(device: torch.device, report: Callable[[float], None]) -> Iterator[None]:
    """Report the most memory, in MiB, that was in use at a time beyond what was in use before."""
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        synchronize(device)
        report((torch.cuda.max_memory_allocated(device) - before) / MIB)
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    used = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        used += event.nbytes()
        highest = max(highest, used)
    report(highest / MIB)
