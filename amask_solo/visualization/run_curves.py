"""Plots of one run, by epoch."""

from collections.abc import Mapping, Sequence
from math import ceil

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from amask_solo.visualization.panels import PALETTE

COLUMNS = 3
PANEL = (3.0, 2.1)  # inches


def run_curves(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw each number of a run in a panel of its own.

    Args:
        curves: Title -> (epochs done, value), in order.
    """
    columns = min(COLUMNS, len(curves))
    rows = ceil(len(curves) / columns)
    figure = Figure(figsize=(columns * PANEL[0], rows * PANEL[1]), dpi=110, facecolor="white", layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for panel in panels[len(curves) :]:
        panel.remove()
    for panel, (title, points) in zip(panels, curves.items(), strict=False):
        epochs, values = zip(*points, strict=True)
        panel.plot(epochs, values, color=PALETTE[1], linewidth=1.6, marker="o" if len(points) == 1 else None)
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        panel.set_title(title, fontsize=9)
        panel.tick_params(labelsize=7)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        panel.grid(visible=True, color="#DDDDDD", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    return figure
