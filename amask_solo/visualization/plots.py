"""Plots of a run and of a comparison: numbers by epoch, and what accuracy costs."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from statistics import fmean, stdev
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from amask_solo.visualization.panels import PALETTE

Points = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Base -> arm -> a point for each run."""

Run = Sequence[tuple[int | float, float]]
"""The curve of a run, as points from left to right."""

Curves = Mapping[str, Mapping[str, Sequence[Run]]]
"""Panel -> arm -> the curve of each run."""

COLORS = ("#000000", *PALETTE)
MARKERS = "osD^vPX"
LINES = ("-", "--", "-.", ":")
"""Arms differ in more than their color; the three repeat at different lengths."""

COLUMNS = 3
PANEL = (2.75, 2.4)  # inches
HEAD = 0.35  # inches, for the legend
MINUTE, HOUR = 60, 3600
NAMED = 20
"""Up to so many classes, a legend tells them apart."""

NO_LABEL = "no label"
MARKED = 15
"""Up to so many points of a curve, each is marked."""

LONG = 3  # above so many minutes (hours), the unit is no longer seconds (minutes)


def run_curves(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw each number of a run in a panel of its own: title -> (epochs done, value), in order."""
    figure, panels = _grid(list(curves), (3.0, 2.1), dpi=110)
    for panel, points in zip(panels, curves.values(), strict=True):
        epochs, values = zip(*points, strict=True)
        panel.plot(epochs, values, color=PALETTE[1], linewidth=1.6, marker="o" if len(points) == 1 else None)
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return figure


def accuracy_against_time(points: Points, *, arms: Sequence[str], label: str) -> Figure:
    """Draw what each run reached against the time that it took, as (seconds, score); see :func:`accuracy_against`."""
    unit, seconds = _unit_of([x for panel in points.values() for runs in panel.values() for x, _ in runs])
    scaled = {
        base: {arm: [(x / seconds, y) for x, y in runs] for arm, runs in panel.items()}
        for base, panel in points.items()
    }
    return accuracy_against(scaled, arms=arms, label=label, by=f"training time ({unit})")


def accuracy_against(points: Points, *, arms: Sequence[str], label: str, by: str) -> Figure:
    """Draw what each run reached against another number of it.

    There is one panel a base. The mean of an arm of several runs has error bars of their standard deviation.

    Args:
        points: What is drawn.
        arms: All arms of the report, which have the same colors in all its pictures; those without runs are left out.
        label: What they reached.
        by: The other number.
    """
    figure, panels = _panels(points, by, label)
    for panel, axis in panels:
        for name, (color, marker, _) in _styles(arms, panel).items():
            x, y = zip(*panel[name], strict=True)
            dots: Any = {"linestyle": "none", "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.6}
            axis.plot(x, y, marker=marker, color=color, alpha=0.6, label=name, **dots)
            if len(y) > 1:
                axis.errorbar(fmean(x), fmean(y), stdev(y), stdev(x), color=color, capsize=3, linewidth=1.2)
        axis.set_xlim(left=0)
        axis.margins(y=0.12)
    return _with_legend(figure, arms)


def arm_curves(curves: Curves, *, arms: Sequence[str], label: str, by: str = "epoch") -> Figure:
    """Draw the mean of each arm's runs by epoch, in the band from its lowest to its highest run.

    Epochs that not all runs of an arm have are left out. The others are marked unless they are many.

    Args:
        curves: What is drawn.
        arms: All arms of the report, which have the same colors in all its pictures; those without runs are left out.
        label: What is measured.
        by: What it is measured by, if not by epoch.
    """
    figure, panels = _panels(curves, by, label)
    for panel, axis in panels:
        for name, (color, marker, line) in _styles(arms, panel).items():
            epochs, low, mean, high = _summarized(panel[name])
            axis.fill_between(epochs, low, high, color=color, alpha=0.15, linewidth=0)
            point = marker if len(epochs) <= MARKED else None
            axis.plot(epochs, mean, color=color, linestyle=line, marker=point, markersize=4, linewidth=1.6, label=name)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return _with_legend(figure, arms)


def embedding_map(
    points: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, " n"], names: Sequence[str], *, title: str
) -> Figure:
    """Draw a point for each image, in the color and with the marker of its class.

    Args:
        points: Where they are; neither axis has a meaning.
        labels: Their classes; -1 without one, drawn in gray.
        names: The names of the classes.
        title: A line above the map.
    """
    figure, (axis,) = _grid([title], (4.6, 4.4), dpi=150)
    axis.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    for label in np.unique(labels).tolist():
        where = points[labels == label]
        known = 0 <= label < len(names)
        color, marker = (COLORS[label % len(COLORS)], MARKERS[label // len(COLORS) % len(MARKERS)])
        axis.plot(
            *where.T,
            marker=marker if known else ".",
            color=color if known else "#999999",
            linestyle="none",
            markersize=3,
            markeredgewidth=0,
            alpha=0.75,
            label=names[label] if known else NO_LABEL,
        )
    return _with_legend(figure, [*names, NO_LABEL]) if len(names) <= NAMED else figure


def _styles(arms: Sequence[str], panel: Mapping[str, Sequence]) -> dict[str, tuple[str, str, str]]:
    """Return color, marker and line of each arm that has runs in a panel, which are the same in all panels."""
    return {
        arm: (COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)], LINES[n % len(LINES)])
        for n, arm in enumerate(arms)
        if panel.get(arm)
    }


def _panels(
    content: Mapping[str, Mapping], x_label: str, y_label: str
) -> tuple[Figure, Iterator[tuple[Mapping, Axes]]]:
    # There is always room for the legend.
    figure, axes = _grid(list(content), PANEL, dpi=200, head=HEAD, least_width=1.6 * PANEL[0])
    for axis in axes:
        axis.set_xlabel(x_label, fontsize=8)
        place = axis.get_subplotspec()
        axis.set_ylabel(y_label if place and place.is_first_col() else "", fontsize=8)
    return figure, zip(content.values(), axes, strict=True)


def _grid(
    titles: Sequence[str], panel: tuple[float, float], *, dpi: int, head: float = 0.0, least_width: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one empty panel for each title, row by row; sizes are in inches, ``head`` is added."""
    columns = min(COLUMNS, max(1, len(titles)))
    rows = max(1, ceil(len(titles) / columns))
    size = (max(columns * panel[0], least_width), rows * panel[1] + head)
    figure = Figure(figsize=size, dpi=dpi, facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axis in grid[len(titles) :]:
        axis.remove()
    for title, axis in zip(titles, grid, strict=False):
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.tick_params(labelsize=7)
        axis.grid(visible=True, color="#DDDDDD", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, grid[: len(titles)]


def _with_legend(figure: Figure, names: Sequence[str]) -> Figure:
    """Add a legend of what any panel has of these names, which are no markup."""
    found: dict[str, Any] = {}
    for line in (line for axis in figure.axes for line in axis.lines):
        found.setdefault(str(line.get_label()), line)
    shown = [name for name in names if name in found]
    if shown:
        handles = [found[name] for name in shown]
        look: Any = {"loc": "outside upper center", "ncols": min(len(shown), 6), "fontsize": 8, "frameon": False}
        for text, name in zip(figure.legend(handles, ["-"] * len(shown), **look).get_texts(), shown, strict=True):
            text.set_parse_math(False)
            text.set_text(name)
    return figure


def _unit_of(seconds: Sequence[float]) -> tuple[str, int]:
    longest = max(seconds, default=0)
    if longest > LONG * HOUR:
        return "hours", HOUR
    return ("minutes", MINUTE) if longest > LONG * MINUTE else ("seconds", 1)


def _summarized(runs: Sequence[Run]) -> tuple[list, ...]:
    tables = [dict(run) for run in runs]
    epochs = sorted(set.intersection(*map(set, tables))) if tables else []
    values = [[table[epoch] for table in tables] for epoch in epochs]
    return epochs, *([summary(column) for column in values] for summary in (min, fmean, max))
