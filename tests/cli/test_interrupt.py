"""Ctrl-C leaves a run that can be resumed; tried with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import amask_solo
from tests.cli.command import SMALL, TINY
from tests.cli.test_pretrain import rows, summary

ROOT = Path(amask_solo.__file__).parent.parent
# A shell that runs the tests in the background may have told its children to ignore Ctrl-C.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from amask_solo.cli.pretrain import main
main()
"""
EPOCHS = 3
ARGV = [*TINY, *SMALL, "data.num_train=64", f"max_epochs={EPOCHS}", "trainer.log_every_n_steps=1", "mask_panels=0"]


def start(*argv: str, cwd: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *ARGV, *argv],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(folder: Path, step: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if (folder / "metrics.csv").is_file() and any(int(row["step"]) >= step for row in rows(folder)):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"step {step} was not reached: {process.communicate()}")


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_to_its_end(tmp_path):
    folder = tmp_path / "runs" / "amask_byol_shapes_seed0"
    process = start(cwd=tmp_path)
    wait_for_step(folder, 10, process)  # in the second of three epochs of eight steps
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in said
    assert "resume=true" in said
    assert summary(folder)["status"] == "interrupted"
    assert 10 <= int(rows(folder)[-1]["step"]) < 8 * EPOCHS - 1

    process = start("resume=true", cwd=tmp_path)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert summary(folder)["status"] == "finished"
    assert (summary(folder)["epochs_done"], summary(folder)["steps"]) == (EPOCHS, 8 * EPOCHS)
    steps = [int(row["step"]) for row in rows(folder)]
    assert steps == sorted(set(steps))
    assert [row["epoch"] for row in rows(folder) if row["val_acc1"]] == [str(epoch) for epoch in range(EPOCHS)]
