"""A first run on a GPU, as far as it can be seen without one: nothing mixes devices, and few things wait."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = {
    "copy from the host: core/module.py __to_tensor": "the host logs tau, a number, in each step of a teacher",
    "copy from the host: methods/simclr.py training_step": "the host logs a number of positives, 0, of its own making",
    "_local_scalar_dense: methods/mocov2plus.py _dequeue_and_enqueue": "the host reads the place in its queue",
}
"""What waits in a step, and why it may: nothing of this package."""


MASKERS = [f"masker {kind}" for kind in ("sequential", "saliency", "simultaneous", "mixture", "random_any")]
PARTS = ["views", *MASKERS, "constraint", "hard_views", "fill", "projection", "patches"]
DAILY = [*PARTS, "fit byol"]


@pytest.fixture(
    scope="module", params=[DAILY, pytest.param(["masker", "fit"], marks=pytest.mark.nightly)], ids=["daily", "others"]
)
def found(request) -> dict[str, dict]:
    """What each case reports, from a process of its own, since the pretended device changes torch."""
    command = [sys.executable, "-m", "tests.device.cases", *request.param]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    reports = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return {report.pop("name"): report for report in reports}


def test_no_part_and_no_fit_mixes_devices(found):
    assert {name: report["failed"] for name, report in found.items() if report["failed"]} == {}


def test_everything_stays_on_the_device(found):
    assert {name: report["elsewhere"] for name, report in found.items() if report["elsewhere"]} == {}


def test_only_what_is_known_waits(found):
    assert {
        (name, wait) for name, report in found.items() for wait in report["waits"] if at(wait) not in ALLOWED
    } == set()


def at(wait: str) -> str:
    """Return what waits, and the innermost function, without that of this package which called it."""
    what, _, where = wait.partition(": ")
    return f"{what}: {where.rpartition(' > ')[2]}"
