"""One thread for each test process: small tensors gain nothing from more, and pytest-xdist uses the cores."""

import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import torch
from lightning.pytorch import LightningModule

from amask_solo.hosts.installed import Host, load_host
from tests.tiny import tiny_cfg

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def host() -> Host:
    return load_host()


@pytest.fixture(scope="session")
def build(host: Host) -> Callable[..., LightningModule]:
    """Build a stock method from a tiny cfg with overrides, from the same seed."""

    def build(method: str, **overrides: Any) -> LightningModule:
        torch.manual_seed(0)
        return host.stock(method)(tiny_cfg(method, **overrides))

    return build


@pytest.fixture(autouse=True, scope="session")
def _quiet_lightning() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@pytest.fixture(autouse=True, scope="session")
def _signals_arrive() -> None:
    """Undo what a shell does to background jobs and `nohup`, which everything that the tests start would inherit."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture
def double() -> Iterator[None]:
    """Some hosts make layers inside their losses, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Lightning ignores further SIGINTs after the first; give them back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Iterator[Path]:
    """A working directory of a user, whose modules are found, and forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    importlib.invalidate_caches()
