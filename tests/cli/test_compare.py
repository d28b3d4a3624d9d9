import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from amask_solo.comparison import carry_out
from amask_solo.errors import UserError
from tests.cli.command import HEADS, NARROW, TINY, call
from tests.daily import one_in

ARGV = [
    *TINY,
    *NARROW,
    HEADS[0],
    "arms=[stock,random]",
    "seed=[0]",
    "folder=out",
    "protocol=[knn]",
    "online_knn=0",
    "mask_panels=1",
]
PATH = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def compare(*argv, cwd):
    return call("compare", *argv, cwd=cwd)


def in_a_process(cwd, *more):
    """Compare two arms in a process without the type checks of the tests."""
    command = [sys.executable, "-m", "amask_solo.cli.compare", *ARGV, *more]
    said = subprocess.run(
        command, check=False, cwd=cwd, env={**os.environ, "PYTHONPATH": PATH}, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr + "".join(log.read_text() for log in cwd.glob("out/logs/*.txt"))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("compared")
    in_a_process(cwd)
    return cwd


def runs(cwd):
    return {folder.name: folder for folder in (cwd / "out" / "runs").iterdir()}


def test_every_arm_is_pretrained_and_evaluated_with_the_same_settings(compared):
    made = runs(compared)
    assert set(made) == {"byol_stock_seed0", "byol_random_seed0"}
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in made.values()]
    assert {summary["status"] for summary in summaries} == {"finished"}
    assert {summary["method"] for summary in summaries} == {"byol", "amask_byol"}
    for key in ("data", "train_images", "epochs", "batch_size", "seed", "steps"):
        assert len({summary[key] for summary in summaries}) == 1
    for folder in made.values():
        (result,) = json.loads((folder / "comparison.json").read_text())["results"]
        assert result["protocol"] == "knn"


@pytest.mark.nightly
def test_runs_may_be_made_side_by_side(tmp_path):
    in_a_process(tmp_path, *JOBLIB)
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in runs(tmp_path).values()]
    assert [summary["status"] for summary in summaries] == ["finished", "finished"]


def test_the_report_has_the_numbers_of_the_runs_and_the_command(compared):
    report = (compared / "out" / "report.md").read_text()
    assert "amask-compare " in report
    assert "arms=[stock,random]" in report
    with (compared / "out" / "report.csv").open() as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    for arm, row in rows.items():
        evaluation = json.loads((runs(compared)[f"byol_{arm}_seed0"] / "comparison.json").read_text())
        assert float(row["knn/acc1"]) == pytest.approx(evaluation["results"][0]["scores"]["acc1"], abs=0.01)
    assert {picture.suffix for picture in (compared / "out").glob("*.png")} == {".png"}


def test_a_finished_run_is_not_run_again(compared):
    before = {
        name: (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns for name, folder in runs(compared).items()
    }
    said = compare(*ARGV, cwd=compared)
    assert said.code == 0, said.err
    assert "2 of them finished before" in said.out
    assert before == {
        name: (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns for name, folder in runs(compared).items()
    }


def test_runs_with_other_settings_are_not_taken_for_those_asked_for(compared):
    said = compare(*ARGV, "optimizer.lr=0.123", cwd=compared)
    assert said.code == 2
    assert "optimizer.lr" in said.err


def test_choosing_and_confirming_never_share_a_folder(compared):
    said = compare(*ARGV, "split=tune", cwd=compared)
    assert said.code == 2
    assert "never mix" in said.err
    assert "All runs trained on all 16 training images" in (compared / "out" / "report.md").read_text()


@pytest.mark.nightly
def test_a_run_that_fails_is_named_and_the_others_are_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    said = compare(*ARGV, "+definitions.broken={trainer.accelerator: tpu}", "arms=[stock,broken]", cwd=tmp_path)
    assert said.code == 2
    assert "torch_xla" in said.err
    report = (tmp_path / "out" / "report.md").read_text()
    assert "byol_broken_seed0" in report
    assert "byol_stock_seed0" in {folder.name for folder in (tmp_path / "out" / "runs").iterdir()}


def test_the_log_has_the_command_also_where_a_name_is_no_text(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    with pytest.raises(UserError, match="amask-evaluate failed"):
        carry_out.call("evaluate", ["kcpt=caf\udce9"], log=tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_bytes().startswith(b"$ amask-evaluate 'kcpt=caf\xe9'\n")


@pytest.mark.nightly
def test_a_run_copied_without_its_checkpoint_counts_and_is_not_trained_again_by_itself(compared, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    shutil.copytree(compared / "out", tmp_path / "out", ignore=shutil.ignore_patterns("*.ckpt"))
    assert "2 of them finished before" in compare(*ARGV, cwd=tmp_path).out
    stock = runs(tmp_path)["byol_stock_seed0"]
    (stock / "comparison.json").unlink()
    said = compare(*ARGV, cwd=tmp_path)
    assert said.code == 2
    assert "out/runs/byol_stock_seed0 is trained, but has no checkpoints/last.ckpt to run knn with" in said.err
    shutil.rmtree(stock)
    said = compare(*ARGV, cwd=tmp_path)
    assert said.code == 0, said.err
    assert "byol_stock_seed0: pretraining" in said.out
    assert "byol_random_seed0" not in said.out.partition("Wrote")[0].partition("┏")[0]


def test_a_protocol_that_is_added_later_is_run_alone_whatever_is_set_of_the_others(compared, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PATH)
    shutil.copytree(compared / "out", tmp_path / "out")
    (result,) = json.loads((runs(tmp_path)["byol_stock_seed0"] / "comparison.json").read_text())["results"]
    argv = [word for word in ARGV if not word.startswith("protocol")]
    said = compare(*argv, "protocol=[knn,clustering]", f"protocol.knn.k={result['settings']['k']}", cwd=tmp_path)
    assert said.code == 0, said.err
    for folder in runs(tmp_path).values():
        results = json.loads((folder / "comparison.json").read_text())["results"]
        assert {result["protocol"] for result in results} == {"knn", "clustering"}
        assert "byol_stock_seed0: clustering" in said.out


@pytest.mark.parametrize(
    ("folders", "protocol", "more", "lacks"),
    one_in(
        3,
        [
            (["all"], "knn", [], "needs labels"),
            (["cats", "dogs"], "knn", ["data.val_fraction=0.0"], "needs validation images"),
            (["all"], "attack", ["metrics=[attack/lift]"], "needs validation images"),
        ],
    ),
)
def test_images_that_no_protocol_can_score_are_refused_before_the_first_run(tmp_path, folders, protocol, more, lacks):
    for folder in folders:
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for n in range(8):
            Image.effect_noise((32, 32), 60 + n).convert("RGB").save(tmp_path / "photos" / folder / f"{n}.png")
    images = ["data=image_folder", "data.train_path=photos", "optimizer.batch_size=4", "trainer=cpu", *more]
    said = compare(*images, "arms=[stock,random]", "seed=[0]", "folder=out", f"protocol=[{protocol}]", cwd=tmp_path)
    assert said.code == 2
    assert f"protocol=[{protocol}] {lacks}" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
