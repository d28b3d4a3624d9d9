"""Ctrl-C leaves a run that can be resumed; tried with processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.command import SMALL, TINY
from tests.cli.forked import Forked
from tests.cli.test_pretrain import rows, summary

EPOCHS = 3
ARGV = [*TINY, *SMALL, "data.num_train=64", f"max_epochs={EPOCHS}", "trainer.log_every_n_steps=1", "mask_panels=0"]


def wait_for_step(folder: Path, step: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (folder / "metrics.csv").is_file() and any(int(row["step"]) >= step for row in rows(folder)):
            return
        time.sleep(0.05)
    pytest.fail(f"step {step} was not reached")


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_to_its_end(tmp_path):
    folder, log = tmp_path / "runs" / "amask_byol_shapes_seed0", tmp_path / "said.txt"
    with log.open("w") as out:
        process = Forked("pretrain", *ARGV, cwd=tmp_path, out=out, patience=300)
        wait_for_step(folder, 10)  # in the second of three epochs of eight steps
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() != 0
    said = log.read_text()
    assert "Traceback" not in said
    assert "resume=true" in said
    assert summary(folder)["status"] == "interrupted"
    assert 10 <= int(rows(folder)[-1]["step"]) < 8 * EPOCHS - 1

    with log.open("w") as out:
        assert Forked("pretrain", *ARGV, "resume=true", cwd=tmp_path, out=out, patience=300).wait() == 0
    assert summary(folder)["status"] == "finished"
    assert (summary(folder)["epochs_done"], summary(folder)["steps"]) == (EPOCHS, 8 * EPOCHS)
    steps = [int(row["step"]) for row in rows(folder)]
    assert steps == sorted(set(steps))
    assert [row["epoch"] for row in rows(folder) if row["val_acc1"]] == [str(epoch) for epoch in range(EPOCHS)]
