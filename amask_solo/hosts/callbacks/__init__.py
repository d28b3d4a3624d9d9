"""What watches, pictures, measures and keeps a run."""

from amask_solo.hosts.callbacks.checkpoints import LAST, KeepOnInterrupt, checkpoints
from amask_solo.hosts.callbacks.game_monitor import GameMonitor
from amask_solo.hosts.callbacks.loggers import MetricsFile, csv, finish, wandb
from amask_solo.hosts.callbacks.online_knn import OnlineKNN, spread
from amask_solo.hosts.callbacks.panels import MaskPanels
from amask_solo.hosts.callbacks.progress import progress_bar
from amask_solo.hosts.callbacks.summary import Summary, device_name, versions

__all__ = [
    "LAST",
    "GameMonitor",
    "KeepOnInterrupt",
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
