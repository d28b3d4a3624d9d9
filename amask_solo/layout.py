"""Names that several rooms share: the parts of an adversary, masked methods, and the files of a run folder."""

PARTS = {
    "masker": "sequential",
    "constraint": "none",
    "fill": "zero",
    "update": "reversal",
    "negatives": None,
    "hard_views": "none",
}
"""The kinds of parts that an adversary is made of, each a group of configuration files, with the default choice."""

PREFIX = "amask_"
"""A masked method is called this, then the name of its base method."""

CONFIG = "config.yaml"
METRICS = "metrics.csv"
SUMMARY = "summary.json"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
"""What ``last.ckpt`` was, one save before."""
