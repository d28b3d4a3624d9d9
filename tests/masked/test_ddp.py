"""Two processes, as on two devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


SETTINGS = [
    {"update": "reversal"},
    {"update": "alternating", "every": 2},
    {"update": "reversal", "draw": "all", "memory_efficient": True},
]


@pytest.mark.slow
def test_two_processes_are_in_sync_after_five_steps_of_the_stock_ddp_strategy():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "tests/masked/ddp_run.py", *map(json.dumps, SETTINGS)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": path}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    for settings in SETTINGS:
        for rank in range(2):
            assert f"{settings}, rank {rank}: 5 steps, in sync" in run.stdout
