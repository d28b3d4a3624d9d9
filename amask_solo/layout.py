"""Names that several rooms share: the files of a run folder, and how a masked method is called."""

PREFIX = "amask_"
"""A masked method is called this, then the name of its base method."""

CONFIG = "config.yaml"
METRICS = "metrics.csv"
SUMMARY = "summary.json"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
"""What ``last.ckpt`` was, one save before."""
