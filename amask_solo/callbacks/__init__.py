"""Callbacks that monitor a run, draw its masks, measure its features, and save its checkpoints."""

from amask_solo.callbacks.checkpoints import checkpoints
from amask_solo.callbacks.loggers import MetricsFile, csv, finish, wandb
from amask_solo.callbacks.online_knn import OnlineKNN, spread
from amask_solo.callbacks.panels import HardViewPanels, MaskPanels
from amask_solo.callbacks.progress import progress_bar
from amask_solo.callbacks.signals import EndAtSignal
from amask_solo.callbacks.summary import Summary, device_name, versions

__all__ = [
    "EndAtSignal",
    "HardViewPanels",
    "MaskPanels",
    "MetricsFile",
    "OnlineKNN",
    "Summary",
    "checkpoints",
    "csv",
    "device_name",
    "finish",
    "progress_bar",
    "spread",
    "versions",
    "wandb",
]
