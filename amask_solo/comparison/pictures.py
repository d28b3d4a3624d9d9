"""Pictures of the report: plots of its runs, as PNG and as PDF, and the mask panels that the runs left."""

import re
import shutil
from collections.abc import Callable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from amask_solo.comparison.convergence import differences_over_epochs
from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import arm_order
from amask_solo.comparison.wording import metric_name
from amask_solo.visualization import accuracy_against_time, arm_curves, drawn_panels, save_plot

HIDDEN = {"random rectangles": "acc1", "worst case": "acc1_worst"}
"""How parts are hidden -> the score that protocols have for each area."""


def draw_accuracy_against_time(records: Sequence[Record], metric: str, folder: Path) -> str:
    """Draw one point a run and return the name of the picture.

    Args:
        records: Runs in the order in which bases and arms are shown; those without the metric are left out.
        metric: ``protocol/score``.
        folder: Of the picture.
    """
    scored = [record for record in records if metric in record.scores]
    points = _nested(scored, lambda record: (record.seconds, record.scores[metric]))
    return save_plot(accuracy_against_time(points, label=metric_name(metric)), folder / "accuracy_time.png")


def draw_training_curves(records: Sequence[Record], folder: Path) -> str:
    """Draw the online kNN accuracy by epoch and return the name of the picture; nothing if no run measured it.

    Args:
        records: Runs in the order in which bases and arms are shown.
        folder: Of the picture.
    """
    measured = [record for record in records if record.curve]
    if not measured:
        return ""
    curves = _nested(measured, lambda record: record.curve)
    return save_plot(arm_curves(curves, label="online kNN accuracy"), folder / "curves.png")


def draw_differences(records: Sequence[Record], folder: Path) -> str:
    """Draw the difference to stock by epoch and return the name of the picture; nothing if no run measured it."""
    differences = differences_over_epochs(records)
    if not differences:
        return ""
    return save_plot(arm_curves(differences, label="kNN accuracy, difference to stock"), folder / "differences.png")


def draw_hidden_area(records: Sequence[Record], folder: Path) -> str:
    """Draw the accuracy over the hidden area and return the name of the picture; nothing if no run was scored by area.

    Args:
        records: Runs in the order in which bases and arms are shown.
        folder: Of the picture.
    """
    curves: dict[str, dict[str, list[Any]]] = {}
    for title, score in HIDDEN.items():
        scored = [record for record in records if record.by_area(score)]
        for base, arms in _nested(scored, methodcaller("by_area", score)).items():
            curves[f"{base}, {title}"] = arms
    if not curves:
        return ""
    return save_plot(arm_curves(curves, label="accuracy", by="hidden area (%)"), folder / "hidden_area.png")


def copy_mask_panels(records: Sequence[Record], folder: Path) -> list[tuple[str, str, str]]:
    """Copy the last mask panel of each arm's first run that has one.

    Args:
        records: Runs in order.
        folder: Where the copies go.

    Returns:
        The arm, the name of the run, the name of the copy.
    """
    copied = []
    for (arm, run), panels in _panels(records).items():
        name = f"masks_{re.sub(r'[^A-Za-z0-9_-]', '_', arm)}.png"
        shutil.copyfile(panels[-1], folder / name)
        copied.append((arm, run, name))
    return copied


def panels_by_arm(records: Sequence[Record]) -> dict[str, list[Path]]:
    """Return title -> the mask panels of each arm's first run that has some, in the order of epochs."""
    return {f"{arm} ({run})": panels for (arm, run), panels in _panels(records).items()}


def _panels(records: Sequence[Record]) -> dict[tuple[str, str], list[Path]]:
    found: dict[str, tuple[str, list[Path]]] = {}
    for record in records:
        panels = drawn_panels(record.folder)
        if panels:
            found.setdefault(record.arm, (record.folder.name, panels))
    return {(arm, run): panels for arm, (run, panels) in found.items()}


def _nested(records: Sequence[Record], value: Callable[[Record], Any]) -> dict[str, dict[str, list[Any]]]:
    # Each base lists every arm, so that an arm looks the same in all plots.
    arms = sorted({record.arm for record in records}, key=arm_order)
    nested: dict[str, dict[str, list[Any]]] = {record.base: {arm: [] for arm in arms} for record in records}
    for record in records:
        nested[record.base][record.arm].append(value(record))
    return nested
