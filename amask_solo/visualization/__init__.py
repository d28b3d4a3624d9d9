"""Tensors and numbers in, pictures out. Pages, in :mod:`~amask_solo.visualization.page`, need more packages."""

from amask_solo.visualization.panels import (
    denormalize,
    drawn_panels,
    hard_view_panel,
    mask_panel,
    overlay,
    save_panel,
    save_plot,
)
from amask_solo.visualization.plots import accuracy_against_time, arm_curves, embedding_map, run_curves

__all__ = [
    "accuracy_against_time",
    "arm_curves",
    "denormalize",
    "drawn_panels",
    "embedding_map",
    "hard_view_panel",
    "mask_panel",
    "overlay",
    "run_curves",
    "save_panel",
    "save_plot",
]
