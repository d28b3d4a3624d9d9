"""What is compared: one run for each base method, arm and seed; and how far that is."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from amask_solo.configuration import target_defaults
from amask_solo.errors import UserError, unknown_key
from amask_solo.files import read_object
from amask_solo.layout import CONFIG, PARTS, PREFIX, SUMMARY

STOCK = "stock"
"""The arm that every other one is compared with: the host's method as it is."""

GAME = ("adversary", "localiser", *PARTS)
"""Settings of the masks, which a stock run does not have."""

SCORES = "comparison.json"
"""The file of a run for the scores that count here; further scores, on other images say, do not mix in."""

OWN = ("method", "run_folder", "name", "resume", "overwrite")
"""Settings of amask-pretrain that a comparison makes itself."""


@dataclass(frozen=True)
class Run:
    """One run of a comparison: a base method, masked as its arm says; the settings are those of ``amask-pretrain``."""

    base: str
    arm: str
    seed: int
    folder: Path
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def summary(self) -> dict[str, Any]:
        """What it wrote down when it ended, however it did; empty before that."""
        return read_object(self.folder / SUMMARY, then="Delete it, and its run is made again.")

    @property
    def trained(self) -> bool:
        """Whether it has finished."""
        return self.summary.get("status") == "finished"

    def lacks(self, protocols: Mapping[str, Any]) -> list[str]:
        """Return which of the protocols are still to be run; a result by other settings does not count."""
        scored = read_object(self.folder / SCORES, then="Delete it, and its run is evaluated again.")
        results = scored.get("results", [])
        have = {result["protocol"] for result in results if answers(result, protocols)}
        return [name for name in protocols if name not in have]


def answers(result: Mapping[str, Any], protocols: Mapping[str, Any]) -> bool:
    """Return whether a result is of one of these protocols, with its settings.

    A result of an earlier version lacks the keys that came later. It counts if their values are the defaults, or a
    finished comparison would be made again after an upgrade.
    """
    if result["protocol"] not in protocols:
        return False
    before, now = result["settings"], protocols[result["protocol"]]
    if any(before[key] != now[key] for key in before.keys() & now.keys()):
        return False
    later = before.keys() ^ now.keys()
    defaults = target_defaults(now["_target_"]) if later else {}
    return all(key in defaults and _is_default(defaults[key], (before | now)[key]) for key in later)


def _is_default(default: Any, value: Any) -> bool:
    if default is None:
        return value in (None, {}, [])  # none are given
    return value == (list(default) if isinstance(default, tuple) else default)


def make_plan(
    *,
    bases: Sequence[str],
    arms: Sequence[str],
    seeds: Sequence[int],
    definitions: Mapping[str, Mapping[str, Any]],
    settings: Sequence[str],
    folder: Path,
    epochs: Mapping[tuple[str, str], int] | None = None,
) -> list[Run]:
    """Return a run for each base, arm and seed: seed by seed, so that a comparison cut short has whole seeds.

    Args:
        bases: Base methods.
        arms: ``stock`` and names of ``definitions``.
        seeds: Seeds of the runs.
        definitions: What each arm adds to a masked run, as keys and values.
        settings: What all runs share; those of the masks are left out of stock runs.
        folder: The folder of the comparison.
        epochs: Base and arm -> epochs, where they differ.

    Raises:
        UserError: If an arm is unknown, there is none to compare with, or something is named twice.
    """
    for key, values in (("base", bases), ("arms", arms), ("seed", seeds)):
        if not values or len(set(values)) < len(values):
            raise UserError(f"Expected {key} as a list of different values, but got {list(values)}.")
    _check(arms, definitions, settings)
    runs = []
    for seed, base, arm in product(seeds, bases, arms):
        place = folder / "runs" / f"{base}_{arm}_seed{seed}"
        length = [f"max_epochs={epochs[base, arm]}"] if epochs else []
        own = (*_arm(base, arm, settings, definitions), *length, f"seed={seed}", f"run_folder={place}")
        runs.append(Run(base, arm, seed, place, own))
    return runs


def _check(arms: Sequence[str], definitions: Mapping[str, Any], settings: Sequence[str]) -> None:
    for arm in arms:
        if arm not in (STOCK, *definitions):
            raise unknown_key(arm, [STOCK, *definitions], "arms", kind="arm")
    if STOCK not in arms or len(arms) < 2:
        raise UserError(f"Expected arms to be '{STOCK}' and others to compare with it, but got {list(arms)}.")
    for text in settings:
        if key_of(text) in OWN:
            raise UserError(f"'{text}' is made by amask-compare for each run; use base, arms, seed and folder.")


def _arm(base: str, arm: str, settings: Sequence[str], definitions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if arm == STOCK:
        return [f"method={base}", *(text for text in settings if not of_masks(text))]
    # What defines the arm comes last, so that no setting of all runs can change it.
    return [f"method={PREFIX}{base}", *settings, *as_arguments(definitions[arm])]


def of_masks(text: str) -> bool:
    """Return whether a setting, an argument of a command, is one of the masks.

    Example:
        >>> of_masks("adversary.share=0.5"), of_masks("++masker=sequential"), of_masks("max_epochs=20")
        (True, True, False)
    """
    return re.split("[.@]", key_of(text))[0] in GAME


def as_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Return keys and values, as those of an arm, as arguments of a command.

    Example:
        >>> as_arguments({"masker": "random_block", "adversary.masker.area": 0.25, "adversary.side": None})
        ['masker=random_block', 'adversary.masker.area=0.25', 'adversary.side=null']
        >>> as_arguments({"adversary.masker.pattern": {"_target_": "amask_solo.maskers.Grid", "patch": 4}})
        ['adversary.masker.pattern={_target_:"amask_solo.maskers.Grid",patch:4}']
    """
    return [f"{key}={value if isinstance(value, str) else _literal(value)}" for key, value in settings.items()]


def _literal(value: Any) -> str:
    """Return a value as Hydra reads it: JSON in which keys have no quotes, and text is as it is."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def key_of(text: str) -> str:
    """Return the key of an argument of a command."""
    return text.lstrip("+~").partition("=")[0]


def not_shown(plan: Sequence[Run], folder: Path) -> list[str]:
    """Return the names of the finished runs in the folder of a comparison that are not in its plan."""
    names = {run.name for run in plan}
    found = []
    for place in sorted((folder / "runs").glob("*")):
        # A broken file of another run is no matter of this plan.
        with suppress(UserError):
            if place.name not in names and Run("", "", 0, place, ()).trained:
                found.append(place.name)
    return found


def progress(plan: Sequence[Run], protocols: Mapping[str, Any]) -> str:
    """Return how many runs are done by all protocols and, from what these took, how long the others will take.

    Example:
        >>> progress([], {})
        '0 of 0 runs done'
    """
    done = [run for run in plan if run.trained and not run.lacks(protocols)]
    text = f"{len(done)} of {len(plan)} runs done"
    took = [time for run in done if (time := _took(run))]
    if not took or len(done) == len(plan):
        return text
    at_a_time = sum((run.folder / CONFIG).is_file() for run in plan) - len(done)
    return f"{text}, about {spelled(median(took) * (len(plan) - len(done)) / max(1, at_a_time))} left"


def spelled(seconds: float) -> str:
    """Return a time to wait, roughly.

    Example:
        >>> [spelled(seconds) for seconds in (20.0, 100.0, 3000.0, 9000.0)]
        ['20 s', '2 min', '50 min', '2.5 h']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _took(run: Run) -> float | None:
    """Return the seconds from the first file of a run to its last; none if its files were written anew since then."""
    first, last = ((run.folder / name).stat().st_mtime for name in (CONFIG, SCORES))
    # A copied folder has files of one age, and no run takes less than its training.
    return last - first if last > first + run.summary.get("seconds", 0) else None
