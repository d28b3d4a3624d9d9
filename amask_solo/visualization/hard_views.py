"""Pictures of hard views: what the encoder sees, and how that differs from the clean view."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from amask_solo._types import Images
from amask_solo.visualization.panels import MAX_ROWS, caption, draw_columns

GRAY = 0.5
"""The color where nothing has changed."""

ROUNDING = 1e-4
"""The largest difference that counts as none, on the scale of [0, 1]."""


def hard_view_panel(images: Images, hard_views: Sequence[Images], *, title: str | None = None) -> Figure:
    """Draw one row an image: the view, then each hard view and its difference, amplified as far as possible.

    A difference shows a perturbation that is too small to see, and which part of a view comes from another image. It is
    gray where the two are alike, and its caption says by how much it is amplified.

    Args:
        images: The clean views, RGB in [0, 1]; the first eight are drawn.
        hard_views: Of each entry of the game's sum, in the order of the images, RGB in [0, 1].
        title: A line above the grid.

    Returns:
        A figure of ``rows * (1 + 2 * entries)`` axes.
    """
    clean, *hard = (x[:MAX_ROWS].detach().float().cpu() for x in (images, *hard_views))
    columns, gains = [("view", clean)], {}
    for number, view in enumerate(hard, start=1):
        difference = view - clean
        largest = float(difference.abs().max())
        gain = max(1, int(GRAY / largest)) if largest > ROUNDING else 0
        name = "hard view" if len(hard) == 1 else f"hard view {number}"
        columns += [(name, view), ("difference", GRAY + gain * difference)]
        gains[len(columns) - 1] = gain
    figure, axes = draw_columns(columns, title=title)
    for column, gain in gains.items():
        for row in axes:
            caption(row[column], f"x {gain}" if gain else "none")
    return figure
