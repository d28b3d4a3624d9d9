"""Nothing is lost when a run is killed, the disk is full, or a file is broken."""

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from amask_solo.runs.last_checkpoint import FOLDER, LAST, is_whole
from tests.cli.command import SMALL, call, pretrain

ROOT = Path(__file__).parents[2]
ROOM = 100_000  # bytes: enough for a row of metrics, not for a checkpoint


def soak(*arguments: str, out: Path) -> dict:
    """Run the script, and return its report."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": path}
    words = [sys.executable, "scripts/soak.py", "--out", str(out), "--name", "it", *arguments, *SMALL]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((out / "it.json").read_text())


@pytest.mark.slow
def test_after_three_kills_one_of_them_while_saving_the_run_ends_as_if_nothing_had_been(tmp_path):
    report = soak("--kills", "3", out=tmp_path)
    assert "writing" in [kill["moment"] for kill in report["kills"]]
    assert report["differences"] == []


@pytest.mark.slow
def test_a_killed_process_of_two_takes_the_other_down_and_both_go_on(tmp_path):
    report = soak("--kills", "1", "--processes", "2", out=tmp_path)
    assert report["kills"][0]["seconds"] < 60
    assert report["differences"] == []


def test_a_broken_last_checkpoint_is_passed_over_and_the_run_ends_as_it_did(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    last = folder / FOLDER / LAST
    wanted = torch.load(last, weights_only=True)["state_dict"]
    os.truncate(last, 1_000_000)
    said = pretrain(*SMALL, "max_epochs=2", "resume=true", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert said.err.count(f"{last} is broken") == 1
    found = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert (folder / "metrics.csv").read_text() == (finished.folder / "metrics.csv").read_text()


def test_a_broken_last_checkpoint_is_passed_over_by_whoever_reads_the_run(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    os.truncate(folder / FOLDER / LAST, 1_000_000)
    for words in (["evaluate", "protocol=knn"], ["export", "format=timm", f"path={tmp_path / 'backbone.pt'}"]):
        said = call(words[0], f"ckpt={folder}", *words[1:], cwd=tmp_path)
        assert said.code == 0, said.err
        assert said.err.count(f"{LAST} is broken") == 1


def _pretrain(cwd: Path) -> None:
    said = pretrain(*SMALL, "max_epochs=100", "run_folder=run", cwd=cwd)
    (cwd / "said").write_text(said.err)
    os._exit(said.code)


def test_a_full_disk_ends_the_run_with_one_line_and_the_last_checkpoint_whole(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_pretrain, args=(tmp_path,))
    process.start()
    last = tmp_path / "run" / FOLDER / LAST
    while not last.exists():
        process.join(0.01)
        assert process.is_alive()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, ROOM))
    process.join(120)
    assert process.exitcode == 2
    said = (tmp_path / "said").read_text()
    assert said.startswith("Error: Cannot write")
    assert said.count("\n") == 1
    assert "resume=true" in said
    assert is_whole(last)
    assert not list((tmp_path / "run").rglob(".*"))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"
    assert (tmp_path / "run" / "metrics.csv").read_text().endswith("\n")


def test_two_runs_in_one_folder_are_refused(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    holder = (
        "import sys; from pathlib import Path; from amask_solo.runs.lock import hold\n"
        "with hold(Path(sys.argv[1])): print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        for how in ("resume=true", "overwrite=true"):
            said = pretrain(*SMALL, "max_epochs=2", how, f"run_folder={folder}", cwd=tmp_path)
            assert said.code == 2
            assert f"process {other.pid} on" in said.err
        other.kill()
    assert is_whole(folder / FOLDER / LAST)
