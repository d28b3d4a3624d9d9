"""Two finished runs, which several tests read, and no account."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.command import HEADS, SMALL, Said, pretrain


class Run(NamedTuple):
    folder: Path
    said: Said


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Run:
    """Pretrain the default method for two epochs."""
    return _pretrain(tmp_path_factory.mktemp("finished"), *HEADS)


@pytest.fixture(scope="session")
def narrow(tmp_path_factory) -> Run:
    """The same with a narrow backbone, for tests that train on."""
    return _pretrain(tmp_path_factory.mktemp("narrow"), *SMALL)


def _pretrain(cwd: Path, *settings: str) -> Run:
    said = pretrain(*settings, "max_epochs=2", cwd=cwd)
    assert said.code == 0, said.err
    return Run(cwd / "runs" / "amask_byol_shapes_seed0", said)


@pytest.fixture
def logged_out(monkeypatch, tmp_path):
    """Be somebody without an account on wandb; without wandb itself, the test is left out."""
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()  # it remembers the mode of earlier runs of this process
    yield
    wandb.teardown()
