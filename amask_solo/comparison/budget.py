"""Equal time: how many epochs each arm gets, by what a step of it costs."""

import json
from collections.abc import Sequence
from pathlib import Path

from amask_solo.comparison.carry_out import call
from amask_solo.comparison.plan import STOCK, Run
from amask_solo.files import write_whole

STEPS = 25
ROUNDS = 2
BARE = (
    "max_epochs=1",
    f"++trainer.limit_train_batches={STEPS}",
    "online_knn=0",
    "mask_panels=0",
    "advantage=0",
    "overwrite=true",
)
"""A run that measures nothing but its steps."""


def equal_time(runs: Sequence[Run], *, epochs: int, folder: Path) -> dict[tuple[str, str], int]:
    """Return the epochs of each base and arm that take as long as stock's own.

    What a step costs is measured once, arm after arm and then again, and kept in ``speed.json``: a comparison that goes
    on has the same epochs as before. The faster of the rounds counts, since other load can only slow a run down.

    Args:
        runs: All runs of the comparison.
        epochs: Those of the stock method.
        folder: Of the comparison.
    """
    file = folder / "speed.json"
    speed: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
    # The runs come seed by seed, so the first seed's are the first for each base and arm.
    first = {(run.base, run.arm): run for run in reversed(runs)}
    new = {pair: run for pair, run in sorted(first.items()) if _name(*pair) not in speed}
    for _ in range(ROUNDS):
        for pair, run in new.items():
            seconds = _seconds_per_step(run, folder / "speed" / _name(*pair))
            speed[_name(*pair)] = min(seconds, speed.get(_name(*pair), seconds))
    if new:
        write_whole(file, json.dumps(speed, indent=2) + "\n")
    return {
        (base, arm): max(1, round(epochs * speed[_name(base, STOCK)] / speed[_name(base, arm)])) for base, arm in first
    }


def _name(base: str, arm: str) -> str:
    return f"{base}_{arm}"


def _seconds_per_step(run: Run, folder: Path) -> float:
    call("pretrain", [*run.settings, *BARE, f"run_folder={folder}"], log=folder.parent / f"{folder.name}.txt")
    return json.loads((folder / "summary.json").read_text())["seconds_per_step"]
