"""Runs over several nodes, and runs that a cluster interrupts; as far as one machine allows."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.runs.nodes import TWO, by_hand, by_srun, differences, rows, start, until, weights_kept

pytestmark = pytest.mark.timeout(300)


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


# ---------------------------------------------------------------------- several nodes


def test_two_nodes_write_one_run_and_agree(undisturbed):
    first, second = (torch.load(undisturbed / f"weights{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    files = {str(path.relative_to(undisturbed / "run")) for path in (undisturbed / "run").rglob("*") if path.is_file()}
    checkpoints = {"checkpoints/last.ckpt", "checkpoints/previous.ckpt"}
    assert files == {"config.yaml", "metrics.csv", "report.html", "summary.json", *checkpoints}
    assert not any((undisturbed / f"node{rank}").iterdir() is None for rank in (0, 1))
    assert [list((undisturbed / f"node{rank}").iterdir()) for rank in (0, 1)] == [[], []]


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


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGUSR1])
def test_tasks_of_srun_that_are_told_end_after_the_same_step_and_go_on(undisturbed, tmp_path, told):
    folder = tmp_path / "run"
    argv = [*TWO, f"run_folder={folder}", "resume=auto", "trainer.log_every_n_steps=1"]
    processes = start(tmp_path, *argv, place=by_srun)
    until(lambda: rows(folder) > 2)
    for process in processes[:1] if told == signal.SIGTERM else processes:
        os.kill(process.pid, told)
    assert [process.wait() for process in processes] == [128 + told, 0], said(tmp_path)
    step = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < step < 36
    assert [process.wait() for process in start(tmp_path, *argv, place=by_srun)] == [0, 0], said(tmp_path)
    assert differences(undisturbed / "run", folder) == []
