"""What one finished run of a comparison left in its folder, read back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from amask_solo.comparison.plan import SCORES, answers
from amask_solo.curves import Curve, read_curves
from amask_solo.errors import UserError
from amask_solo.evaluation.results import Right, unpack
from amask_solo.files import read_object
from amask_solo.layout import CHECKPOINTS, LAST, METRICS, SUMMARY

NEEDED = ("status", "data", "steps", "seconds", "seconds_per_step", "peak_memory_mib", "masks", "device", "versions")
"""Keys of ``summary.json`` that a report cannot do without."""


@dataclass(frozen=True)
class Record:
    """One finished and evaluated run, and its ``summary.json``.

    Attributes:
        scores: What its evaluation found, by ``protocol/score``, or ``protocol@data/score`` on other data than the
            run's own; percent for accuracies.
        curve: After each evaluated epoch: epochs done, online kNN accuracy in percent.
        right: Score -> which images it counts as correct, for those scores of which the evaluation kept that.
        images: The settings of the images that it was scored on; empty if they are not known.
    """

    base: str
    arm: str
    seed: int
    folder: Path
    summary: dict[str, Any]
    scores: dict[str, float]
    curve: Curve
    right: dict[str, Right] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """What training took, with the validation within it."""
        return float(self.summary["seconds"])

    def by_area(self, score: str) -> dict[str, list[tuple[float, float]]]:
        """Return protocol -> the hidden area and the accuracy there, both in percent, from nothing hidden.

        The ``score`` is what comes before the area, as ``acc1_worst`` in ``acc1_worst_area0.25``; protocols without it
        are left out. The curve of ``attack_curve`` has the single area of ``attack``, too.
        """
        pattern = re.compile(rf"(.+)/{score}_area([\d.]+)")
        curves: dict[str, dict[float, float]] = {}
        for match in filter(None, map(pattern.fullmatch, self.scores)):
            curve = curves.setdefault(match[1], {0.0: self.scores[f"{match[1]}/acc1"]})
            curve[100 * float(match[2])] = self.scores[match[0]]
        for protocol, curve in curves.items():
            single = protocol.replace("_curve", "")
            area, value = (self.scores.get(f"{single}/{name}") for name in ("area", score))
            if area is not None and value is not None:
                curve.setdefault(100 * area, value)
        return {protocol: sorted(curve.items()) for protocol, curve in curves.items()}


def read_record(folder: Path, base: str, arm: str, seed: int, *, protocols: Mapping[str, Any] | None = None) -> Record:
    """Read a run folder.

    Results of other ``protocols``, or by other settings, are left out, and one without a result is an error; by default
    all results count.

    Raises:
        UserError: If a file is missing or broken, or the run did not finish, or was not evaluated after its last epoch.
    """
    summary = _read_json(folder / SUMMARY, NEEDED)
    if summary["status"] != "finished":
        raise UserError(f"{folder / 'summary.json'}: the run is {summary['status']}, not finished. Continue it.")
    scored = _read_json(folder / SCORES, ("results",))
    _check_last(folder, scored.get("epochs"), summary.get("epochs_done"))
    scores, right, images = _scores(folder / SCORES, scored["results"], protocols, data=summary["data"])
    curve = read_curves(folder / METRICS, {"knn": "val_knn_acc1"}).get("knn", [])
    return Record(base, arm, seed, folder, summary, scores, curve, right, images)


def _read_json(path: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    again = "Delete it and make the run again."
    if not (content := read_object(path, then=again)) and not path.exists():
        raise UserError(f"There is no {path}: the run is not finished, or not evaluated.")
    missing = [key for key in needed if key not in content]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}. {again}")
    return content


def _check_last(folder: Path, scored: int | None, done: int | None) -> None:
    # An evaluation takes the checkpoint before the last one if that is damaged. Older files may not say either number.
    if None not in (scored, done) and scored != done:
        raise UserError(
            f"{folder / SCORES} has scores after {scored} epochs, but the run did {done}: its {CHECKPOINTS}/{LAST} was "
            f"of another epoch or damaged. Put the last one there and delete {SCORES}, and it is evaluated again; or "
            "delete the folder, and the run is made again."
        )


def _scores(
    path: Path, results: Any, protocols: Mapping[str, Any] | None, *, data: str
) -> tuple[dict[str, float], dict[str, Right], Mapping[str, Any]]:
    """Return the scores, the images that they count as correct, and the settings of the run's own images."""
    try:
        if protocols is not None:
            results = [r for r in results if answers(r, protocols)]
            lacking = sorted(set(protocols) - {result["protocol"] for result in results})
            if lacking:
                raise UserError(f"{path} has no result of {', '.join(lacking)} by the settings asked for. Evaluate it.")
        # The last result counts where the same images were prepared in several ways.
        scores = {
            f"{_name(result, data)}/{score}": float(value)
            for result in results
            for score, value in result["scores"].items()
            if isinstance(value, int | float) and isfinite(value)
        }
        right = {
            f"{_name(result, data)}/{score}": unpack(kept)
            for result in results
            for score, kept in result.get("correct", {}).items()
        }
        own = (result.get("images", {}) for result in results if result["data"] == data)
        return scores, right, next(own, {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not what amask-evaluate writes ({error!r}). Delete it and evaluate again."
        ) from error


def _name(result: Mapping[str, Any], data: str) -> str:
    # A protocol on other images than the run's own is another score.
    return result["protocol"] if result["data"] == data else f"{result['protocol']}@{result['data']}"
