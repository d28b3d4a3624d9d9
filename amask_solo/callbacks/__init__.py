"""Callbacks that monitor a run, draw its masks, measure its features, and save its checkpoints."""

from amask_solo.callbacks.loggers import csv, wandb

__all__ = ["csv", "wandb"]  # the targets of configs/logger
