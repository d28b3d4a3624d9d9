"""Runs over several nodes, and runs that a cluster interrupts; as far as one machine allows."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.cli.composed import composed
from amask_solo.cli.overrides import checked
from amask_solo.errors import UserError
from amask_solo.runs.run_folder import claim, find
from tests.cli.command import call
from tests.cli.forked import Forked
from tests.runs.nodes import (
    ALONE,
    PATIENCE,
    ROOT,
    STEPS,
    TWO,
    by_hand,
    by_srun,
    differences,
    rows,
    start,
    start_launched,
    tell,
    until,
    weights_kept,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run over two nodes, the second of which begins when the first has claimed the folder."""
    root = tmp_path_factory.mktemp("nodes")
    argv = [*TWO, f"run_folder={root / 'run'}"]
    with weights_kept(root):
        processes = start(root, *argv)
        assert [process.wait() for process in processes] == [0, 0], said(root)
    return root


def said(root: Path) -> str:
    return "".join(file.read_text() for file in sorted(root.glob("said*.txt")))


def last_step(folder: Path) -> int:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


# ---------------------------------------------------------------------- several nodes


@pytest.mark.nightly
def test_two_nodes_write_one_run_and_agree(undisturbed):
    first, second = (torch.load(undisturbed / f"weights{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    files = {str(path.relative_to(undisturbed / "run")) for path in (undisturbed / "run").rglob("*") if path.is_file()}
    checkpoints = {"checkpoints/last.ckpt", "checkpoints/previous.ckpt"}
    assert files == {"config.yaml", "metrics.csv", "report.html", "summary.json", *checkpoints}
    assert [list((undisturbed / f"node{rank}").iterdir()) for rank in (0, 1)] == [[], []]


def test_nodes_with_other_settings_do_not_train_one_run(tmp_path):
    def place(rank):
        return by_hand(rank) | {"WHEN": ("step", "epoch")[rank]}

    processes = start(tmp_path, *TWO, "run_folder=../run", "scheduler.interval=${oc.env:WHEN}", place=place)
    assert [process.wait() for process in processes] == [2, 2]
    words = "Process 1 of the run has other settings than the first one: scheduler.interval=epoch instead of step."
    assert words in said(tmp_path)
    assert not (tmp_path / "run" / "summary.json").exists()


INTERACTIVE = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "bash", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}


@pytest.mark.nightly
@pytest.mark.parametrize("shell", [{}, INTERACTIVE], ids=["", "srun --pty"])
def test_a_sweep_on_two_devices_trains_each_run_with_its_own_settings(tmp_path, shell):
    few = [*ALONE, "trainer.devices=2", "trainer.strategy=ddp", "optimizer.batch_size=4"]
    start_sweep = partial(
        subprocess.run, cwd=tmp_path, env={**os.environ, **shell, "PYTHONPATH": str(ROOT)}, check=False
    )
    words = [sys.executable, "-m", "amask_solo.cli.pretrain", *few]
    assert start_sweep([*words, "seed=0"]).returncode == 0
    done = start_sweep([*words, "-m", "seed=0,1,2"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Error: ") == 1, "the first folder is taken"
    assert re.findall(r"(\d) finished jobs", done.stdout) == ["2"]
    assert "Traceback" not in done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_node_takes_the_other_with_it_and_both_go_on(undisturbed, tmp_path, lost):
    folder = tmp_path / "run"
    argv = [*TWO, f"run_folder={folder}", "resume=auto"]
    processes = start(tmp_path, *argv)
    until((folder / "checkpoints" / "last.ckpt").exists)
    os.kill(processes[lost].pid, signal.SIGKILL)
    begin = time.monotonic()
    assert processes[1 - lost].wait() == 2
    assert time.monotonic() - begin < 30
    assert "Another process of the run has died" in said(tmp_path)
    processes[lost].wait()
    assert [process.wait() for process in start(tmp_path, *argv)] == [0, 0], said(tmp_path)
    assert differences(undisturbed / "run", folder) == []


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_tasks_of_srun_that_are_told_end_after_the_same_step_and_go_on(undisturbed, tmp_path, number):
    folder = tmp_path / "run"
    argv = [*TWO, f"run_folder={folder}", "resume=auto"]
    processes = start(tmp_path, *argv, place=by_srun)
    until(lambda: rows(folder) > 2)
    for process in processes[:1] if number == signal.SIGTERM else processes:
        os.kill(process.pid, number)
    assert [process.wait() for process in processes] == [128 + number, 0], said(tmp_path)
    assert 0 < last_step(folder) < 2 * STEPS
    assert [process.wait() for process in start(tmp_path, *argv, place=by_srun)] == [0, 0], said(tmp_path)
    assert differences(undisturbed / "run", folder) == []


def test_tasks_that_disagree_with_the_trainer_are_refused_in_one_line(tmp_path, monkeypatch):
    for name, value in {**by_srun(0), "SLURM_NTASKS_PER_NODE": "4"}.items():
        monkeypatch.setenv(name, value)
    refused = call("pretrain", *TWO, "run_folder=run", cwd=tmp_path)
    assert refused.code == 2
    (line,) = [line for line in refused.err.splitlines() if line.startswith("Error")]
    assert "devices=1" in line
    assert "--ntasks-per-node=4" in line
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    refused = call("pretrain", *TWO, "run_folder=run", cwd=tmp_path)
    assert "Use `--ntasks-per-node=2`" in refused.err
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- one process


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Callable[..., tuple[list[str], Path]]:
    """Return the arguments and the folder of a run of one process that nobody disturbs."""

    @cache
    def run(*more: str) -> tuple[list[str], Path]:
        root = tmp_path_factory.mktemp("alone")
        argv = [*ALONE, "trainer.log_every_n_steps=1", "resume=auto", *more]
        with (root / "said.txt").open("w") as out:
            process = Forked("pretrain", *argv, f"run_folder={root / 'run'}", cwd=root, out=out, patience=PATIENCE)
            assert process.wait() == 0, said(root)
        return argv, root / "run"

    return run


@pytest.mark.nightly
@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="resident"),
        pytest.param(["loader.device_cache=off", "loader.num_workers=1"], id="workers", marks=pytest.mark.nightly),
    ],
)
def test_a_run_that_is_told_to_end_goes_on_with_the_images_that_are_left(alone, tmp_path, more):
    argv, undisturbed = alone(*more)
    folder = tmp_path / "run"
    with (tmp_path / "said.txt").open("w") as out:
        process = Forked("pretrain", *argv, f"run_folder={folder}", cwd=tmp_path, out=out, patience=PATIENCE)
        until(lambda: rows(folder) > STEPS + 1)  # in the second epoch
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM, said(tmp_path)
        assert STEPS < last_step(folder) < 2 * STEPS
        assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
        again = Forked("pretrain", *argv, f"run_folder={folder}", cwd=tmp_path, out=out, patience=PATIENCE)
        assert again.wait() == 0, said(tmp_path)
    assert differences(undisturbed, folder) == []


@pytest.mark.nightly
def test_auto_starts_goes_on_and_is_done(alone):
    argv, folder = alone()
    before = (folder / "metrics.csv").read_text()
    assert call("pretrain", *argv, f"run_folder={folder}", cwd=folder.parent).code == 0
    assert (folder / "metrics.csv").read_text() == before
    refused = call("pretrain", *argv, f"run_folder={folder}", "optimizer.lr=0.5", cwd=folder.parent)
    assert refused.code == 2
    assert "optimizer.lr" in refused.err


def test_auto_starts_anew_what_had_no_checkpoint_yet_unless_it_was_another_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    cfg = composed("pretrain", [f"run_folder={folder}", "resume=auto"])
    claim(folder, cfg)
    assert find(cfg) == (folder, None)
    claim(folder, cfg)
    other = composed("pretrain", [f"run_folder={folder}", "resume=auto", "seed=1"])
    for refuse in (lambda: find(other), lambda: claim(folder, other)):
        with pytest.raises(UserError, match="seed"):
            refuse()


@pytest.mark.parametrize("name", ["NODE_RANK", "RANK", "SLURM_PROCID"])
def test_another_process_than_the_first_does_not_ask_whether_the_folder_is_taken(name, tmp_path, monkeypatch):
    cfg = composed("pretrain", [f"run_folder={tmp_path}"])
    claim(tmp_path, cfg)
    with pytest.raises(UserError, match="already holds a run"):
        find(cfg)
    monkeypatch.setenv(name, "1")
    assert find(cfg) == (tmp_path, None)
    # The first of all, whatever its variables say, asks once more before it writes.
    with pytest.raises(UserError, match="already holds a run"):
        claim(tmp_path, cfg)


# ---------------------------------------------------------------------- launched by submitit


@pytest.mark.nightly
@pytest.mark.slow
def test_a_job_that_is_preempted_is_queued_again_and_goes_on(alone, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    argv, undisturbed = alone()
    folder = tmp_path / "run"
    command = start_launched(tmp_path, "pretrain", "-m", *argv, f"run_folder={folder}")
    until(lambda: rows(folder) > 2, command)
    tell(tmp_path, signal.SIGTERM)  # SLURM's first warning: saved, nothing more
    until((folder / "checkpoints" / "last.ckpt").exists, command)
    tell(tmp_path, signal.SIGUSR2)
    assert command.wait(PATIENCE) == 0, said(tmp_path)
    log = "".join(file.read_text() for file in tmp_path.glob("runs/.submitit/*/*_log.out"))
    assert log.count("Requeued job") == 1
    assert differences(undisturbed, folder) == []


@pytest.mark.nightly
@pytest.mark.slow
def test_a_comparison_whose_job_is_preempted_goes_on(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    argv = [*ALONE, "trainer.log_every_n_steps=1", "arms=[stock,random]", "seed=[0]", "folder=out", "protocol=[knn]"]
    command = start_launched(tmp_path, "compare", *argv)
    folder = tmp_path / "out" / "runs" / "byol_random_seed0"
    until(lambda: rows(folder) > 2, command)
    tell(tmp_path, signal.SIGUSR2, "byol_random_seed0")
    assert command.wait(PATIENCE) == 0, said(tmp_path)
    log = (tmp_path / "out" / "logs" / "byol_random_seed0.txt").read_text()
    assert log.count("$ amask-pretrain") == 2
    assert "resume=true" in log
    assert json.loads((folder / "summary.json").read_text())["steps"] == 2 * STEPS
    assert (tmp_path / "out" / "report.md").is_file()


def test_a_slurm_job_has_what_the_trainer_needs():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    several = ["trainer=ddp", "trainer.num_nodes=2", "trainer.devices=4"]
    for name, more, wanted in (
        ("pretrain", several, (2, 4, 4)),
        ("pretrain", [], (1, 1, 1)),
        ("compare", [], (1, 1, 1)),
    ):
        made = composed(
            name, checked(name, ["hydra/launcher=slurm", "hydra.launcher.timeout_min=9", *more]), with_hydra=True
        )
        job = OmegaConf.to_container(made.hydra.launcher, resolve=True)
        assert (job["nodes"], job["tasks_per_node"], job["gpus_per_node"]) == wanted
        assert job["_target_"].endswith("SlurmLauncher")
        assert job["timeout_min"] == 9
