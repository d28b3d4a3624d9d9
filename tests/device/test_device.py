"""A first run on a GPU, as far as it can be seen without one: nothing mixes devices, and few things wait."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED: dict[str, str] = {}
"""What may wait in a step, and why."""


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    """What each case reports, from a process of its own, since the pretended device changes torch."""
    command = [sys.executable, "-m", "tests.device.cases"]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    reports = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return {report.pop("name"): report for report in reports}


def test_no_part_and_no_fit_mixes_devices(found):
    assert {name: report["failed"] for name, report in found.items() if report["failed"]} == {}


def test_everything_stays_on_the_device(found):
    assert {name: report["elsewhere"] for name, report in found.items() if report["elsewhere"]} == {}


def test_only_what_is_known_waits(found):
    assert {wait for report in found.values() for wait in report["waits"]} <= set(ALLOWED)
