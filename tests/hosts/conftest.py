"""What the tests of the hosts share: the installed host, and how to build its methods."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule

from amask_solo.hosts.host import Host, load_host
from tests.hosts.tiny import tiny_cfg


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


@pytest.fixture
def double():
    """Some hosts make layers inside their losses, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
