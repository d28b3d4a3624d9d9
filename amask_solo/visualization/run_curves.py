"""Plots of one run, by epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from amask_solo.visualization.axes import panel_grid
from amask_solo.visualization.panels import PALETTE


def run_curves(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw each number of a run in a panel of its own.

    Args:
        curves: Title -> (epochs done, value), in order.
    """
    figure, panels = panel_grid(list(curves), (3.0, 2.1), dpi=110)
    for panel, points in zip(panels, curves.values(), strict=True):
        epochs, values = zip(*points, strict=True)
        panel.plot(epochs, values, color=PALETTE[1], linewidth=1.6, marker="o" if len(points) == 1 else None)
        panel.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return figure
