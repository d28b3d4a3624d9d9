"""The parts ``step`` and ``memory``: what one training step costs."""

import gc
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median, quantiles
from typing import Any

import torch
from lightning.pytorch import LightningModule

from benchmarking.interleaved import Run, SameBatch, Times, peak_memory, stopwatch
from benchmarking.models import REFERENCE, Setting, build

METHODS = ("simclr", "byol", "simsiam")
SHOWN = {
    "one": ["adversary.masker.num_masks={default}"],
    "N=4": ["++adversary.draw=all", "adversary.masker.num_masks=4"],
}
MASKERS = {"sequential": 3, "simultaneous": 4}
UPDATES = ("reversal", "alternating")
STOCK, REFERENCE_NAME = "stock", "adios-reference"

Maker = Callable[[], LightningModule]


def arms(setting: Setting, method: str, *, quick: bool) -> dict[str, Maker]:
    """Return name -> how to build it, for the stock method, all ways to mask it, and the reference."""
    made: dict[str, Maker] = {STOCK: partial(build, setting, method)}
    for shown, line in SHOWN.items():
        for masker, default in MASKERS.items():
            for update in UPDATES:
                chosen = [argument.format(default=default) for argument in line]
                chosen += [f"masker={masker}", f"update={update}"]
                made[f"{shown}, {masker}, {update}"] = partial(build, setting, f"amask_{method}", chosen)
    if quick:
        made = {name: make for name, make in made.items() if name == STOCK or "sequential, reversal" in name}
    made[REFERENCE_NAME] = partial(build, setting, f"amask_{method}", REFERENCE, as_reference=True)
    return made


def measure_steps(setting: Setting, method: str, *, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Return a row for each arm: seconds a step, its ratio to the stock method's, images/s, memory."""
    times, facts = interleave(setting, arms(setting, method, quick=quick), rounds=rounds)
    return _rows(setting, method, times, facts, against=STOCK)


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
    times, facts = interleave(setting, makers, rounds=rounds)
    rows = _rows(setting, method, times, facts, against="N=8")
    for arm in rows:
        if "peak_mib" in arm:
            arm["to_one_mask"] = arm["peak_mib"] / facts["N=1"]["peak_mib"]
    return rows


def _rows(
    setting: Setting, method: str, times: Mapping[str, list[Times]], facts: Mapping[str, dict], *, against: str
) -> list[dict[str, Any]]:
    common = {"method": method, "backbone": setting.backbone, "size": setting.size, "batch": setting.batch}
    rows = []
    for name, taken in times.items():
        row = {**common, "arm": name, **facts[name]}
        if taken:
            row |= _medians(taken)
            row["images_per_second"] = setting.batch / row["seconds"]
        if taken and times[against]:
            stock = _medians(times[against])
            row |= {"ratio": row["seconds"] / stock["seconds"], "cpu_ratio": row["cpu_seconds"] / stock["cpu_seconds"]}
            in_turn = [one.seconds / other.seconds for one, other in zip(taken, times[against], strict=True)]
            low, _, high = quantiles(in_turn, n=4, method="inclusive")
            row["quartiles"] = [low, high]
        rows.append(row)
    return rows


def _medians(taken: list[Times]) -> dict[str, float]:
    seconds, cpu_seconds = zip(*taken, strict=True)
    return {"seconds": median(seconds), "cpu_seconds": median(cpu_seconds)}


def interleave(
    setting: Setting, makers: Mapping[str, Maker], *, rounds: int
) -> tuple[dict[str, list[Times]], dict[str, dict[str, float]]]:
    """Step all arms in turn.

    Args:
        setting: Where to run.
        makers: Arms by name.
        rounds: How many times each arm is measured; on a GPU one time is twenty steps, so that the launches of a step
            can hide behind the work of the one before.

    Returns:
        Times of a step, and further facts, of each arm. An arm for which there is not enough memory has no times.
    """
    steps = 20 if setting.device.type == "cuda" else 1
    data = {"train_dataloaders": SameBatch(setting.views())}
    runs, times, more = {}, {name: [] for name in makers}, {name: {} for name in makers}

    def attempt(name: str, do: Callable[[], None]) -> None:
        try:
            do()
            return
        except torch.OutOfMemoryError:
            print(f"{name}: not enough memory.", file=sys.stderr)
        # Here and not above: until then the error keeps all that the run has allocated.
        runs.pop(name, None)
        times[name].clear()
        gc.collect()
        torch.cuda.empty_cache()

    def start(name: str) -> None:
        runs[name] = Run(makers[name](), data, **setting.trainer())
        runs[name].turn(2)  # warm-up
        more[name] = _facts(runs[name], setting.device)

    for name in makers:
        attempt(name, partial(start, name))
    for number in range(rounds):
        # No arm shall always follow the same other one.
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            watch = stopwatch(setting.device, partial(_note, times[name], steps))
            attempt(name, partial(runs[name].turn, steps, watch))
    for run in runs.values():
        run.stop()
    runs.clear()
    gc.collect()
    return times, more


def _note(times: list[Times], steps: int, took: Times) -> None:
    times.append(Times(took.seconds / steps, took.cpu_seconds / steps))


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
