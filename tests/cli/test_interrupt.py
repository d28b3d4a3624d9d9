"""Ctrl-C leaves a run that can be resumed, whenever it comes."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from amask_solo.callbacks.online_knn import OnlineKNN
from tests.cli.command import SMALL, TINY, pretrain
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


def measured(folder: Path) -> dict:
    passing = ("seconds", "seconds_per_step", "mean_seconds_per_step", "peak_memory_mib")
    return {name: value for name, value in summary(folder).items() if name not in passing}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("on_validation_start", marks=pytest.mark.nightly),
        pytest.param("on_train_epoch_end", marks=pytest.mark.nightly),
        "on_train_end",
    ],
)
@pytest.mark.nightly
def test_a_run_that_is_interrupted_after_its_last_step_ends_as_if_nothing_had_been(
    narrow, tmp_path, monkeypatch, ctrl_c, moment
):
    before = getattr(OnlineKNN, moment)

    def interrupt(self, trainer, model) -> None:
        if trainer.global_step == trainer.estimated_stepping_batches:
            raise KeyboardInterrupt
        before(self, trainer, model)

    argv = [*SMALL, "max_epochs=2", f"run_folder={tmp_path / 'run'}"]
    with monkeypatch.context() as patch:
        patch.setattr(OnlineKNN, moment, interrupt)
        said = pretrain(*argv, cwd=tmp_path)
    assert said.code == 130
    assert summary(tmp_path / "run")["status"] == "interrupted"
    said = pretrain(*argv, "resume=true", cwd=tmp_path)
    assert said.code == 0, said.err
    assert measured(tmp_path / "run") == measured(narrow.folder)
    assert rows(tmp_path / "run") == rows(narrow.folder)


@pytest.mark.nightly
def test_a_run_that_was_killed_before_its_summary_gets_it_when_it_goes_on(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    (folder / "summary.json").unlink()
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert measured(folder) == measured(narrow.folder)
    assert summary(folder)["seconds_per_step"] == summary(narrow.folder)["seconds_per_step"]


def test_a_finished_run_that_goes_on_keeps_its_summary(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert summary(folder) == summary(narrow.folder)
