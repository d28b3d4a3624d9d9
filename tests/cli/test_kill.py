"""Nothing is lost when a run is killed, the disk is full, or a file is broken."""

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from amask_solo.checkpoints.last import is_whole
from amask_solo.hosts.repairs import STATE
from amask_solo.layout import CHECKPOINTS, LAST
from amask_solo.runs.lock import check_free, hold
from tests.cli.command import HEADS, SMALL, TINY, call, pretrain
from tests.cli.forked import PATIENCE, Forked

ROOT = Path(__file__).parents[2]
ROOM = 100_000  # bytes: enough for a row of metrics, not for a checkpoint


def soak(*arguments: str, out: Path) -> dict:
    """Run the script, and return its report."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": path}
    words = [sys.executable, "scripts/soak.py", "--out", str(out), "--name", "it", *arguments, *HEADS]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((out / "it.json").read_text())


@pytest.mark.nightly
@pytest.mark.slow
def test_after_three_kills_one_of_them_while_saving_the_run_ends_as_if_nothing_had_been(tmp_path):
    report = soak("--kills", "3", out=tmp_path)
    assert "writing" in [kill["moment"] for kill in report["kills"]]
    assert report["differences"] == []


@pytest.mark.nightly
@pytest.mark.slow
def test_a_killed_process_of_two_takes_the_other_down_and_both_go_on(tmp_path):
    report = soak("--kills", "1", "--processes", "2", out=tmp_path)
    assert report["kills"][0]["seconds"] < 60
    assert report["differences"] == []


def test_a_broken_last_checkpoint_is_passed_over_and_the_run_ends_as_it_did(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    last = folder / CHECKPOINTS / LAST
    wanted = torch.load(last, weights_only=True)["state_dict"]
    os.truncate(last, last.stat().st_size // 2)
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert said.err.count(f"{last} is broken") == 1
    found = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert (folder / "metrics.csv").read_text() == (narrow.folder / "metrics.csv").read_text()


def test_a_broken_last_checkpoint_is_passed_over_by_whoever_reads_the_run(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    last = folder / CHECKPOINTS / LAST
    os.truncate(last, last.stat().st_size // 2)
    for words in (["evaluate", "protocol=knn"], ["export", "format=timm", f"path={tmp_path / 'backbone.pt'}"]):
        said = call(words[0], f"ckpt={folder}", *words[1:], cwd=tmp_path)
        assert said.code == 0, said.err
        assert said.err.count(f"{LAST} is broken") == 1


def test_a_damaged_end_of_the_metrics_is_dropped_and_the_run_ends_as_it_did(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    (folder / CHECKPOINTS / LAST).unlink()  # so that the one before it is taken, and an epoch is left to do
    with (folder / "metrics.csv").open("ab") as file:
        file.write(bytes(100) + b"\r\n")
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert said.err.count("metrics.csv is damaged from line") == 1
    assert (folder / "metrics.csv").read_bytes() == (narrow.folder / "metrics.csv").read_bytes()


def other_method(saved):
    return saved | {STATE: saved[STATE] | {"method": "simclr"}}


def other_tensors(saved):
    state = {name: tensor for name, tensor in saved["state_dict"].items() if not name.startswith("adversary.")}
    return {key: value for key, value in saved.items() if key != STATE} | {"state_dict": state}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (other_method, "its method is simclr"),
        (other_tensors, "its tensors are others"),
        (lambda saved: {"state_dict": saved["state_dict"]}, "it has no pytorch-lightning_version"),
        (lambda saved: list(saved["state_dict"].values())[:1], "it has no named entries"),
    ],
)
def test_a_run_is_not_resumed_from_a_checkpoint_of_another_one(narrow, tmp_path, other, why):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    last = folder / CHECKPOINTS / LAST
    torch.save(other(torch.load(last, weights_only=True)), last)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert (said.code, said.err.count("\n")) == (2, 1), said.err
    assert f"{last} is not a checkpoint of this run: {why}" in said.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_full_disk_ends_the_run_with_one_line_and_the_last_checkpoint_whole(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "said.txt"
    argv = [*TINY, *SMALL, "max_epochs=100", f"run_folder={folder}"]
    with log.open("w") as err, open(os.devnull, "w") as out:
        process = Forked("pretrain", *argv, cwd=tmp_path, out=out, err=err, patience=300)
        last = folder / CHECKPOINTS / LAST
        end = time.monotonic() + 120
        while not last.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, ROOM))
        assert process.wait() == 2
    said = log.read_text()
    assert said.startswith("Error: Cannot write")
    assert said.count("\n") == 1
    assert "resume=true" in said
    assert is_whole(last)
    assert not list(folder.rglob(".*"))
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    assert (folder / "metrics.csv").read_text().endswith("\n")


def test_two_runs_in_one_folder_are_refused(narrow, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(narrow.folder, folder)
    mine, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(folder, theirs))
    other.start()
    mine.recv()
    for how in ("resume=true", "overwrite=true"):
        said = pretrain(*SMALL, "max_epochs=2", how, f"run_folder={folder}", cwd=tmp_path)
        assert said.code == 2
        assert f"process {other.pid} on" in said.err
    other.kill()
    other.join()
    check_free(folder)
    assert is_whole(folder / CHECKPOINTS / LAST)


def _hold(folder: Path, said: Connection) -> None:
    with hold(folder):
        said.send("held")
        time.sleep(PATIENCE)
