"""The parts ``step`` and ``memory``: what one training step costs."""

import gc
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule

from benchmarking.interleaved import Run, SameBatch, Times, peak_memory, stopwatch
from benchmarking.models import ALL_OF_FOUR, REFERENCE, Setting, build

METHODS = ("simclr", "byol", "simsiam")
SHOWN = {
    "one": ["adversary.masker.num_masks={default}"],
    "N=4": ALL_OF_FOUR,
}
MASKERS = {"sequential_three": 3, "simultaneous": 4}
UPDATES = ("reversal", "alternating")
DEFAULT = "default"
STOCK, REFERENCE_NAME = "stock", "adios-reference"

Maker = Callable[[], LightningModule]


class Pair(NamedTuple):
    """A step of an arm, and the step right before it of the arm that it is compared with."""

    own: Times
    other: Times


def arms(setting: Setting, method: str, *, quick: bool) -> dict[str, Maker]:
    """Return name -> how to build it, for the stock method, all ways to mask it, and the reference."""
    made: dict[str, Maker] = {STOCK: partial(build, setting, method)}
    made[DEFAULT] = partial(build, setting, f"amask_{method}")
    for shown, line in SHOWN.items():
        for masker, default in MASKERS.items():
            for update in UPDATES:
                chosen = [argument.format(default=default) for argument in line]
                chosen += [f"masker={masker}", f"update={update}"]
                made[f"{shown}, {masker}, {update}"] = partial(build, setting, f"amask_{method}", chosen)
    if quick:
        made = {name: made[name] for name in (STOCK, DEFAULT)}
    made[REFERENCE_NAME] = partial(build, setting, f"amask_{method}", REFERENCE, as_reference=True)
    return made


def measure_steps(setting: Setting, method: str, *, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Return a row for each arm: seconds a step, its ratio to the stock method's, images/s, memory."""
    pairs, facts = interleave(setting, arms(setting, method, quick=quick), beside=STOCK, rounds=rounds)
    return rows_of(setting, method, pairs, facts)


def measure_memory(setting: Setting, method: str, *, rounds: int) -> list[dict[str, Any]]:
    """Return what eight masks take against one, with all graphs at once and with one at a time; times against N=8."""
    # There is room for eight masks of a tenth.
    line = ["++adversary.draw=all", "adversary.masker.projection.inner.area=0.1"]
    one, eight = [*line, "adversary.masker.num_masks=1"], [*line, "adversary.masker.num_masks=8"]
    makers = {
        "N=1": partial(build, setting, f"amask_{method}", one),
        "N=8": partial(build, setting, f"amask_{method}", eight),
        "N=8, memory-efficient": partial(
            build, setting, f"amask_{method}", [*eight, "++adversary.memory_efficient=true"]
        ),
    }
    pairs, facts = interleave(setting, makers, beside="N=8", rounds=rounds)
    rows = rows_of(setting, method, pairs, facts)
    for arm in rows:
        if "peak_mib" in arm:
            arm["to_one_mask"] = arm["peak_mib"] / facts["N=1"]["peak_mib"]
    return rows


def rows_of(
    setting: Setting, method: str, pairs: Mapping[str, list[Pair]], facts: Mapping[str, dict]
) -> list[dict[str, Any]]:
    """Return a row for each arm, of what :func:`interleave` has measured."""
    rows = []
    for name, taken in pairs.items():
        row = {"method": method, **setting.facts(), "arm": name, **facts[name]}
        if taken:
            seconds = median(own.seconds for own, _ in taken)
            low, middle, high = quantiles(
                (own.seconds / other.seconds for own, other in taken), n=4, method="inclusive"
            )
            cpu_ratio = median(own.cpu_seconds / other.cpu_seconds for own, other in taken)
            row |= {"seconds": seconds, "images_per_second": setting.batch / seconds}
            row |= {"ratio": middle, "quartiles": [low, high], "cpu_ratio": cpu_ratio}
        rows.append(row)
    return rows


def interleave(
    setting: Setting, makers: Mapping[str, Maker], *, beside: str, rounds: int
) -> tuple[dict[str, list[Pair]], dict[str, dict[str, float]]]:
    """Step all arms in turn, each right after a step of the same other arm, so that the machine is the same for both.

    Args:
        setting: Where to run.
        makers: Arms by name.
        beside: The arm that all are compared with, itself too, which shows how far the machine can be trusted.
        rounds: How many times each arm is measured.

    Returns:
        Times of a step, and further facts, of each arm. An arm for which there is not enough memory has no times.
    """
    arms = _Arms(setting, makers)
    for name in makers:
        arms.attempt(name, arms.start)
    for _ in range(rounds if beside in arms.runs else 0):
        for name in list(arms.runs):
            arms.attempt(name, partial(arms.measure, beside=beside))
    arms.stop()
    return arms.pairs, arms.facts


class _Arms:
    def __init__(self, setting: Setting, makers: Mapping[str, Maker]) -> None:
        self.setting, self.makers = setting, makers
        # On a GPU the launches of a step hide behind the work of the one before.
        self.steps = 20 if setting.device.type == "cuda" else 1
        self.data = {"train_dataloaders": SameBatch(setting.views())}
        self.runs: dict[str, Run] = {}
        self.pairs: dict[str, list[Pair]] = {name: [] for name in makers}
        self.facts: dict[str, dict[str, float]] = {name: {} for name in makers}

    def attempt(self, name: str, do: Callable[[str], None]) -> None:
        """Do something to an arm; leave it out from now on if there is not enough memory for that."""
        try:
            do(name)
            return
        except torch.OutOfMemoryError:
            print(f"{name}: not enough memory.", file=sys.stderr)
        # This is not in the handler, where the error still keeps all that the run has allocated.
        self.runs.pop(name, None)
        self.pairs[name].clear()
        gc.collect()
        torch.cuda.empty_cache()

    def start(self, name: str) -> None:
        self.runs[name] = Run(self.makers[name](), self.data, **self.setting.trainer())
        self.runs[name].turn(2)  # warm-up
        self.facts[name] = _facts(self.runs[name], self.setting.device)

    def measure(self, name: str, *, beside: str) -> None:
        took: list[Times] = []
        for run in (self.runs[beside], self.runs[name]):
            run.turn(self.steps, stopwatch(self.setting.device, took.append))
        other, own = (Times(*(clock / self.steps for clock in times)) for times in took)
        self.pairs[name].append(Pair(own, other))

    def stop(self) -> None:
        for run in self.runs.values():
            run.stop()
        self.runs.clear()
        gc.collect()


def _facts(run: Run, device: torch.device) -> dict[str, float]:
    facts: dict[str, float] = {}
    run.turn(1, peak_memory(device, lambda mib: facts.update(peak_mib=mib)))
    if device.type == "cuda":
        facts["waits"] = float(_waits(run))
    return facts


def _waits(run: Run) -> int:
    """Count the operations of a step that wait for the device, the host's own among them."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run.turn(1)
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("called a synchronizing" in str(warning.message) for warning in caught)
