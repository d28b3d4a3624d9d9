"""A grid of small plots that share one look."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = 3


def panel_grid(
    titles: Sequence[str], panel: tuple[float, float], *, dpi: int, head: float = 0.0, least_width: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one empty panel for each title, row by row.

    Args:
        titles: What stands above the panels.
        panel: Width and height of each, in inches.
        dpi: Dots an inch.
        head: Further height of the figure, in inches.
        least_width: The figure is at least so wide, in inches.
    """
    columns = min(COLUMNS, max(1, len(titles)))
    rows = max(1, ceil(len(titles) / columns))
    size = (max(columns * panel[0], least_width), rows * panel[1] + head)
    figure = Figure(figsize=size, dpi=dpi, facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axis in grid[len(titles) :]:
        axis.remove()
    for title, axis in zip(titles, grid, strict=False):
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(visible=True, color="#DDDDDD", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, grid[: len(titles)]
