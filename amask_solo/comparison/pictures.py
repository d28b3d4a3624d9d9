"""Pictures of the report: plots of its runs, as PNG and as PDF, and the mask panels that the runs left.

All functions take runs in the order in which bases and arms are shown. Those that draw return the name of the picture
in the folder, and nothing if no run has what it shows.
"""

from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from amask_solo.comparison.convergence import differences_over_epochs
from amask_solo.comparison.records import Record
from amask_solo.comparison.scores import metric_name, scale
from amask_solo.comparison.statistics import arm_order
from amask_solo.comparison.wording import ATTACKED, GAP
from amask_solo.visualization.panels import drawn_panels, save_plot
from amask_solo.visualization.plots import accuracy_against, accuracy_against_time, arm_curves

HIDDEN = {"random rectangles": "acc1", "worst case": "acc1_worst", "greedy": "acc1_greedy"}
"""How parts are hidden -> the score that protocols have for each area."""


def draw_accuracy_against_time(records: Sequence[Record], metric: str, folder: Path) -> str:
    """Draw one point for each run that has a metric, ``protocol/score``."""
    scored = [record for record in records if metric in record.scores]
    points = _nested(scored, lambda record: (record.seconds, record.scores[metric]))
    return save_plot(accuracy_against_time(points, label=_label(metric)), folder / "accuracy_time.png")


def draw_training_curves(records: Sequence[Record], folder: Path) -> str:
    """Draw the online kNN accuracy by epoch."""
    curves = _nested([record for record in records if record.curve], lambda record: record.curve)
    return save_plot(arm_curves(curves, label="online kNN accuracy (%)"), folder / "curves.png") if curves else ""


def draw_differences(records: Sequence[Record], folder: Path) -> str:
    """Draw the difference to stock by epoch."""
    differences = differences_over_epochs(records)
    label = "kNN accuracy, points above stock"
    return save_plot(arm_curves(differences, label=label), folder / "differences.png") if differences else ""


def draw_hidden_area(records: Sequence[Record], folder: Path) -> str:
    """Draw the accuracy over the hidden area."""
    curves: dict[str, dict[str, list[Any]]] = {}
    for title, score in HIDDEN.items():
        scored = [record for record in records if record.by_area(score)]
        for base, arms in _nested(scored, methodcaller("by_area", score)).items():
            curves[f"{base}, {title}"] = arms
    if not curves:
        return ""
    return save_plot(arm_curves(curves, label="accuracy (%)", by="hidden area (%)"), folder / "hidden_area.png")


def draw_exploitability(records: Sequence[Record], folder: Path) -> str:
    """Draw the accuracy under attack over how exploitable the run's own masks are, of runs that have both."""
    points = _nested(records, lambda record: (record.scores[GAP], record.scores[ATTACKED]))
    figure = accuracy_against(points, label=_label(ATTACKED), by="exploitability of the run's own masks")
    return save_plot(figure, folder / "exploitability.png")


def mask_panels(records: Sequence[Record]) -> dict[str, tuple[str, list[Path]]]:
    """Return arm -> the name of its first run that has mask panels, and these in the order of epochs."""
    found: dict[str, tuple[str, list[Path]]] = {}
    for record in records:
        if panels := drawn_panels(record.folder):
            found.setdefault(record.arm, (record.folder.name, panels))
    return found


def _label(metric: str) -> str:
    return metric_name(metric) + scale(metric).unit


def _nested(records: Sequence[Record], value: Callable[[Record], Any]) -> dict[str, dict[str, list[Any]]]:
    # Each base lists every arm, so that an arm looks the same in all plots.
    arms = sorted({record.arm for record in records}, key=arm_order)
    nested: dict[str, dict[str, list[Any]]] = {record.base: {arm: [] for arm in arms} for record in records}
    for record in records:
        nested[record.base][record.arm].append(value(record))
    return nested
