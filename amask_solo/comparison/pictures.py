"""Pictures of the report: plots of its runs, as PNG and as PDF, and the mask panels that the runs left.

All functions take runs in the order in which bases and arms are shown. Those that draw return the name of the picture
in the folder, and nothing if no run has what it shows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from amask_solo.comparison.convergence import differences_over_epochs
from amask_solo.comparison.hidden import ATTACKED, GAP, attacked
from amask_solo.comparison.records import Record
from amask_solo.comparison.scores import metric_name, scale
from amask_solo.comparison.statistics import arm_order
from amask_solo.visualization.panels import drawn_panels, save_plot
from amask_solo.visualization.plots import Curves, accuracy_against, accuracy_against_time, arm_curves

HIDDEN = {"random rectangles": "acc1", "worst case": "acc1_worst", "greedy": "acc1_greedy"}
"""How parts are hidden -> the score that protocols have for each area."""


def draw_accuracy_against_time(records: Sequence[Record], metric: str, folder: Path) -> str:
    """Draw one point for each run that has a metric, ``protocol/score``."""
    scored = [record for record in records if metric in record.scores]
    points = _nested(scored, lambda record: (record.seconds, record.scores[metric]))
    figure = accuracy_against_time(points, arms=_arms(records), label=_label(metric))
    return save_plot(figure, folder / "accuracy_time.png")


def draw_training_curves(records: Sequence[Record], folder: Path) -> str:
    """Draw the online kNN accuracy by epoch."""
    curves = _nested([record for record in records if record.curve], lambda record: record.curve)
    return _draw_curves(curves, records, folder / "curves.png", label="online kNN accuracy (%)")


def draw_differences(records: Sequence[Record], folder: Path) -> str:
    """Draw the difference to stock by epoch."""
    curves = differences_over_epochs(records)
    return _draw_curves(curves, records, folder / "differences.png", label="kNN accuracy, points above stock")


def draw_hidden_area(records: Sequence[Record], folder: Path) -> str:
    """Draw the accuracy over the hidden area; each protocol that hides parts in the same way has curves of its own."""
    panels: dict[str, dict[str, list[Any]]] = {}
    for title, score in HIDDEN.items():
        curves = [(record, *found) for record in records for found in record.by_area(score).items()]
        several = len({protocol for _, protocol, _ in curves}) > 1
        for record, protocol, curve in curves:
            panel = f"{record.base}, {title}" + (f", {protocol}" if several else "")
            panels.setdefault(panel, {}).setdefault(record.arm, []).append(curve)
    return _draw_curves(panels, records, folder / "hidden_area.png", label="accuracy (%)", by="hidden area (%)")


def draw_exploitability(records: Sequence[Record], folder: Path) -> str:
    """Draw the accuracy under attack over how exploitable the run's own masks are, of runs that have both."""
    points = _nested(attacked(records), lambda record: (record.scores[GAP], record.scores[ATTACKED]))
    if not points:
        return ""
    by = "exploitability of the run's own masks"
    figure = accuracy_against(points, arms=_arms(records), label=_label(ATTACKED), by=by)
    return save_plot(figure, folder / "exploitability.png")


def _draw_curves(curves: Curves, records: Sequence[Record], path: Path, **labels: str) -> str:
    return save_plot(arm_curves(curves, arms=_arms(records), **labels), path) if curves else ""


def _arms(records: Sequence[Record]) -> list[str]:
    """Return all arms of the report: each has its color in all pictures, also in those that lack others."""
    return sorted({record.arm for record in records}, key=arm_order)


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
    nested: dict[str, dict[str, list[Any]]] = {}
    for record in records:
        nested.setdefault(record.base, {}).setdefault(record.arm, []).append(value(record))
    return nested
