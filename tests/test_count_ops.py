"""What a step starts on a device, counted: the limits that docs/costs.md promises."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from count_ops import ARMS, LIMITS, count


@pytest.fixture(scope="module")
def stock() -> int:
    return count("simclr").total()


@pytest.mark.nightly
@pytest.mark.host
@pytest.mark.parametrize("arm", LIMITS)
def test_a_masked_step_starts_few_operations_more(arm, stock):
    assert count("amask_simclr", ARMS[arm]).total() <= LIMITS[arm] * stock
