"""The files of an evaluation, found before torch is imported."""

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from amask_solo.checkpoints.last import find_checkpoint
from amask_solo.evaluation.results import read_results
from amask_solo.files import check_place


class Places(NamedTuple):
    """The files of an evaluation.

    Attributes:
        checkpoint: The checkpoint to evaluate.
        results: The file for the results.
    """

    checkpoint: Path
    results: Path


def find_places(cfg: DictConfig) -> Places:
    """Return the checkpoint and the file for the results.

    Raises:
        UserError: If there is no checkpoint, or the results cannot be written.
    """
    given, file = Path(cfg.ckpt).expanduser(), find_checkpoint(cfg.ckpt)
    beside = given / "evaluation.json" if given.is_dir() else file.with_name(f"{file.stem}_evaluation.json")
    path = Path(cfg.output).expanduser() if cfg.output else beside
    check_place(path, "output")
    read_results(path)
    return Places(file, path)
