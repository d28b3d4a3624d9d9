"""Names that several subpackages share: the parts of an adversary, masked methods, and the files of a run folder."""

from pathlib import Path

PARTS = {
    "masker": "sequential",
    "constraint": "none",
    "fill": "zero",
    "update": "reversal",
    "negatives": None,
    "hard_views": "none",
}
"""The parts of an adversary -> the default choice; each part is a group of configuration files."""

PREFIX = "amask_"
"""The name of a masked method is this prefix and the name of its base method."""

CONFIG = "config.yaml"
METRICS = "metrics.csv"
SUMMARY = "summary.json"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
"""The ``last.ckpt`` of the save before."""


def saved(run_folder: Path) -> list[Path]:
    """Return the checkpoints of a run, whole or not: the last one, and the one before it."""
    return [file for name in (LAST, PREVIOUS) if (file := run_folder / CHECKPOINTS / name).is_file()]
