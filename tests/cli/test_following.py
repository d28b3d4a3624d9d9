"""A command that ends, in whatever way, ends the runs that it has launched, and these save."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from amask_solo.cli.following import COMMAND, announce, is_launched, lives
from amask_solo.runs.lock import check_free, holder
from tests.cli.command import BARE, HEADS, NARROW, TINY
from tests.cli.test_compare import PATH

ARGV = [*TINY, *NARROW, *HEADS[:1], *BARE, "advantage=0"]
ARGV += ["max_epochs=100000", "save_every=100000", "arms=[stock,random]", "seed=[0]", "folder=out", "protocol=[knn]"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
PATIENCE = 90
NIGHTLY = (pytest.mark.slow, pytest.mark.nightly)


def until(is_so: Callable[[], bool], command: subprocess.Popen | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        assert command is None or command.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "more"),
    [
        pytest.param(signal.SIGTERM, [], marks=NIGHTLY),
        pytest.param(signal.SIGHUP, [], marks=NIGHTLY),
        pytest.param(signal.SIGKILL, [], marks=NIGHTLY),
        pytest.param(signal.SIGTERM, JOBLIB, marks=NIGHTLY),
        pytest.param(signal.SIGINT, JOBLIB, marks=NIGHTLY),
        pytest.param(signal.SIGKILL, JOBLIB, marks=NIGHTLY),
    ],
)
def test_a_comparison_that_ends_ends_its_runs_which_save(tmp_path, number, more):
    words = [sys.executable, "-m", "amask_solo.cli.compare", *ARGV, *more]
    with (tmp_path / "said.txt").open("w") as out:
        command = subprocess.Popen(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": PATH, COMMAND: ""}, stdout=out, stderr=out
        )
        folder = tmp_path / "out" / "runs" / "byol_stock_seed0"
        try:
            until((folder / "metrics.csv").exists, command)
            run = holder(folder)
            assert run is not None
            assert run != command.pid
            command.send_signal(number)
            code = command.wait(PATIENCE)
        finally:
            command.kill()
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: not lives(run))
    check_free(folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == json.loads((folder / "summary.json").read_text())["steps"] > 0


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_ends_ends_its_runs_which_save(tmp_path, number):
    few = ["method=simclr", "max_epochs=100000", "save_every=100000", "advantage=0"]
    words = [sys.executable, "-m", "amask_solo.cli.pretrain", *TINY, *NARROW, *HEADS[:1], *BARE, *few]
    command = subprocess.Popen(
        [*words, "-m", "seed=0,1", *JOBLIB], cwd=tmp_path, env={**os.environ, "PYTHONPATH": PATH, COMMAND: ""}
    )
    folders = [tmp_path / "runs" / f"simclr_shapes_seed{seed}" for seed in (0, 1)]
    try:
        until(lambda: all((folder / "metrics.csv").exists() for folder in folders), command)
        command.send_signal(number)
        code = command.wait(PATIENCE)
    finally:
        command.kill()
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    for folder in folders:
        # The process is joblib's, which may wait for further jobs.
        until(lambda folder=folder: holder(folder) is None)
        saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        assert saved["global_step"] == json.loads((folder / "summary.json").read_text())["steps"] > 0


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("launcher", [[], JOBLIB, ["hydra/launcher=submitit_local"]], ids=str)
def test_launched_jobs_end_with_a_table_and_a_mistake_in_one_with_the_code_of_mistakes(tmp_path, launcher):
    words = [sys.executable, "-m", "amask_solo.cli.pretrain", *TINY, *NARROW, *HEADS[:2], *BARE, "advantage=0", "-m"]
    environment = {**os.environ, "PYTHONPATH": PATH, COMMAND: "", "COLUMNS": "200"}
    how = {"cwd": tmp_path, "env": environment, "capture_output": True}
    said = subprocess.run([*words, "method=simclr,wmse,amask_simclr", *launcher], check=False, text=True, **how)
    assert said.returncode == 2, said.stderr
    assert "Traceback" not in said.stderr
    assert "whitening_size" in said.stderr
    table = said.stdout.partition("2 finished jobs")[2]
    assert re.findall(r"runs/(\w+)_shapes_seed0", table) == ["simclr", "amask_simclr"]


def test_a_process_follows_the_command_that_launched_it_alone(monkeypatch):
    monkeypatch.setenv(COMMAND, "")
    assert not is_launched()
    announce()
    assert not is_launched()
    child = [sys.executable, "-c", "from amask_solo.cli.following import is_launched; print(is_launched())"]
    environment = {**os.environ, "PYTHONPATH": PATH}
    said = subprocess.run(child, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
    elsewhere = {**environment, COMMAND: f"elsewhere - {os.getpid()}"}
    assert subprocess.run(child, env=elsewhere, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_launched_process_ends_with_its_command():
    command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = "import time; from amask_solo.cli.following import follow\n"
    code += "with follow(): print('on', flush=True); time.sleep(60)"
    place = " ".join([os.uname().nodename, os.environ.get("SLURM_JOB_ID", "-"), str(command.pid)])
    environment = {**os.environ, "PYTHONPATH": PATH, COMMAND: place}
    launched = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert launched.stdout is not None
    assert launched.stdout.readline() == b"on\n"
    command.kill()  # a process that nobody has waited for yet still has its identifier
    assert launched.wait(PATIENCE) == -signal.SIGTERM
    launched.stdout.close()
    # So does one that gets another job only then.
    late = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (late.returncode, late.stdout) == (128 + signal.SIGTERM, b"")
    command.wait()


def test_an_unknown_folder_has_no_holder(tmp_path: Path):
    assert holder(tmp_path) is None
