"""Equal time: how many epochs each arm gets, by what a step of it costs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amask_solo.comparison.carry_out import call
from amask_solo.comparison.plan import STOCK, Run
from amask_solo.errors import UserError
from amask_solo.files import read_object, write_json
from amask_solo.hosts.methods import by_name
from amask_solo.layout import CONFIG, SUMMARY

STEPS = 25
ROUNDS = 2
BARE = (
    f"++trainer.max_steps={STEPS}",
    "++trainer.limit_val_batches=0",
    "online_knn=0",
    "mask_panels=0",
    "advantage=0",
    "overwrite=true",
)
"""A run that measures only its steps. Its schedules are those of the full length, but it ends early."""

GAME_ON = "++adversary.start_epoch=0"
"""A masked run is timed as it is when the game is on."""

HANDOVER = "amask_solo.localisers.Handover"
"""A part of a masker that costs less in the first epoch than later."""


def check_timed(settings: Mapping[str, Any]) -> None:
    """Raise a ``UserError`` if a run of this configuration cannot be timed by its first steps: later ones cost more."""
    why = by_name(settings["method"]).until_then
    if not why and HANDOVER in _targets(settings.get("adversary")):
        why = "asks the first localiser of a handover"
    if why:
        raise UserError(
            f"budget=time goes by the cost of the first steps, but method={settings['method']} {why} in the first "
            "epoch; give budget=epochs."
        )


def _targets(node: Any) -> Iterator[str]:
    """Yield all that a node and those below it describe."""
    if isinstance(node, dict) and "_target_" in node:
        yield node["_target_"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _targets(child)


def equal_time(runs: Sequence[Run], *, epochs: int, folder: Path) -> dict[tuple[str, str], int]:
    """Return the epochs of each base and arm in a comparison that take as long as the ``epochs`` of stock.

    The cost of a batch is measured once for each arm, in two rounds, and kept in ``speed.json`` with its settings, so a
    comparison that is continued has the same epochs as before. The faster of the rounds counts, since other load can
    only slow a run down. An arm whose game begins later is timed as if it were on from the start.

    Raises:
        UserError: If a run has too few steps to time.
    """
    file = folder / "speed.json"
    kept = read_object(file, then="Delete it, and the steps are timed again.")
    # The runs come seed by seed, so the first seed's are the first for each base and arm.
    first = {(run.base, run.arm): run for run in reversed(runs)}
    asked = {"_".join(pair): _settings(run) for pair, run in sorted(first.items())}
    # A run that was begun keeps its length, even if it is continued with another trainer or logger, say.
    begun = {f"{run.base}_{run.arm}" for run in runs if (run.folder / CONFIG).is_file()}
    known = {name: kept[name] for name in asked if name in kept}
    speed = {n: made["seconds"] for n, made in known.items() if n in begun or made["settings"] == asked[n]}
    new = [name for name in asked if name not in speed]
    for _ in range(ROUNDS):
        for name in new:
            seconds = _seconds_per_batch(asked[name], folder / "speed" / name)
            speed[name] = min(seconds, speed.get(name, seconds))
    if new:
        kept |= {name: {"seconds": speed[name], "settings": asked[name]} for name in new}
        write_json(file, kept)
    return {
        (base, arm): max(1, round(epochs * speed[f"{base}_{STOCK}"] / speed[f"{base}_{arm}"])) for base, arm in first
    }


def _settings(run: Run) -> list[str]:
    """Return what the cost of a batch depends on: the settings of a run without its seed and folder."""
    same = [text for text in run.settings if not text.startswith(("seed=", "run_folder="))]
    return [*same, *BARE, *([] if run.arm == STOCK else [GAME_ON])]


def _seconds_per_batch(settings: Sequence[str], folder: Path) -> float:
    call("pretrain", [*settings, f"run_folder={folder}"], log=folder.parent / f"{folder.name}.txt")
    # The mean, since a masker may move in only some of the steps.
    summary = json.loads((folder / SUMMARY).read_text())
    seconds = summary["mean_seconds_per_step"]
    if seconds is None:
        raise UserError(
            f"budget=time has too few steps to time in {folder}: the first ones of all, and the first of each epoch, "
            "do not count. Train on more batches an epoch, or give budget=epochs."
        )
    # An epoch has the same batches in all arms, but fewer steps in one that accumulates more gradients.
    return seconds / summary["batches_per_step"]
