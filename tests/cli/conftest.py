"""One finished run, which several tests read."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.command import SMALL, Said, pretrain


class Run(NamedTuple):
    folder: Path
    said: Said


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Run:
    """Pretrain the default method for two epochs."""
    cwd = tmp_path_factory.mktemp("finished")
    said = pretrain(*SMALL, "max_epochs=2", cwd=cwd)
    assert said.code == 0, said.err
    return Run(cwd / "runs" / "amask_byol_shapes_seed0", said)
