"""amask-evaluate, from a run folder or a file to a table and evaluation.json."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.models import resnet18

import amask_solo.runs.evaluate  # noqa: F401 - so that beartype says here what it has to say
from amask_solo.configuration import instantiate
from amask_solo.evaluation.results import unpack
from amask_solo.hosts.installed import load_host
from amask_solo.runs.page import write_run_page
from tests.checkpoints.test_adios import published
from tests.cli.command import BARE, HEADS, TINY, Said, call, pretrain
from tests.daily import one_in

IMAGES = [setting for setting in TINY if setting.startswith("data")]
OWN = {"mean": "Mean", "hidden": "Hidden", "statistics": "Statistics"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with protocols of one's own in it."""
    cwd = tmp_path_factory.mktemp("place")
    (cwd / "mine" / "protocol").mkdir(parents=True)
    for name, target in OWN.items():
        text = f"# @package protocol.{name}\n# One of ours.\n_target_: tests.cli.protocols.{target}\n"
        (cwd / "mine" / "protocol" / f"{name}.yaml").write_text(text)
    return cwd


@pytest.fixture(scope="module")
def stock(place) -> Path:
    said = pretrain("method=byol", *HEADS, *BARE, "name=stock", cwd=place)
    assert said.code == 0, said.err
    return place / "runs" / "stock_shapes_seed0"


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A masked run without results of an earlier evaluation."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.ckpt"):
        (folder / name).symlink_to(finished.folder / name)
    return folder


@pytest.fixture
def evaluate(place):
    def evaluate(*argv: str) -> Said:
        return call("evaluate", "--config-dir", "mine", "device=cpu", *argv, cwd=place)

    return evaluate


def record(path: Path) -> dict:
    return json.loads(path.read_text())


def names(path: Path) -> list[str]:
    return [result["protocol"] for result in record(path)["results"]]


# ---------------------------------------------------------------------- what is evaluated


def test_a_masked_run_is_scored_on_its_own_images(run, evaluate):
    said = evaluate(f"ckpt={run}", "protocol=[mean,hidden]", "protocol.mean.scale=2", "seed=3")
    assert (said.code, said.err) == (0, "")
    found = record(run / "evaluation.json")
    assert (found["method"], found["epochs"], found["arch"]) == ("amask_byol", 2, "resnet18")
    assert found["checkpoint"].endswith("last.ckpt")
    assert found["device"].startswith("cpu")
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]
    mean, hidden = found["results"]
    assert (mean["protocol"], mean["data"], mean["seed"], mean["scores"]["seed"]) == ("mean", "shapes", 3, 3.0)
    assert mean["settings"] == {"_target_": "tests.cli.protocols.Mean", "scale": 2}
    assert mean["images"]["num_train"] == 16
    assert mean["seconds"] >= 0
    assert hidden["scores"]["area"] == pytest.approx(25, abs=1)
    for word in ("mean", "hidden", "shapes", "area", f"{hidden['scores']['area']:.2f}", str(run / "evaluation.json")):
        assert word in said.out


def test_a_stock_run_has_features_but_no_masks(stock, evaluate):
    said = evaluate(f"ckpt={stock}", "protocol=[hidden,mean]")
    # What one protocol lacks takes nothing from the others.
    assert said.code == 2
    assert said.err == "Error: hidden: There is no masker.\n"
    assert names(stock / "evaluation.json") == ["mean"]
    assert record(stock / "evaluation.json")["method"] == "byol"


def test_the_projects_own_protocols_run_by_default(run, evaluate):
    said = evaluate(f"ckpt={run}", "protocol.knn.k=[1,3]")
    assert (said.code, said.err) == (0, "")
    assert names(run / "evaluation.json") == ["knn", "linear"]
    knn = record(run / "evaluation.json")["results"][0]
    assert knn["settings"]["k"] == [1, 3]
    assert 0 <= knn["scores"]["acc1"] <= 100


@pytest.mark.parametrize("prefix", one_in(2, ["encoder.", "backbone."]))
def test_checkpoints_of_the_host_score_as_the_run_does(prefix, stock, evaluate, tmp_path):
    state = torch.load(stock / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    own = f"{load_host().backbone}."
    state = {f"{prefix}{k.removeprefix(own)}" if k.startswith(own) else k: value for k, value in state.items()}
    torch.save({"state_dict": state, "epoch": 0}, tmp_path / "byol-ep=1.ckpt")
    said = evaluate(f"ckpt={tmp_path}/byol-ep=1.ckpt", "protocol=mean", *IMAGES)
    assert (said.code, said.err) == (0, "")
    evaluate(f"ckpt={stock}", "protocol=mean")
    found, expected = record(tmp_path / "byol-ep=1_evaluation.json"), record(stock / "evaluation.json")
    assert found["results"][0]["scores"] == expected["results"][-1]["scores"]
    assert (found["method"], found["arch"]) == (None, "resnet18")


def test_an_exported_backbone_scores_as_the_run_does(run, evaluate):
    assert call("export", f"ckpt={run}", "format=safetensors", cwd=run).code == 0
    for ckpt in (run, run / "backbone_safetensors.safetensors"):
        assert evaluate(f"ckpt={ckpt}", "protocol=mean", *IMAGES).code == 0
    expected = record(run / "evaluation.json")["results"][0]["scores"]
    assert record(run / "backbone_safetensors_evaluation.json")["results"][0]["scores"] == expected


def test_other_images_or_some_of_the_runs_own(run, evaluate):
    for argv in ([], ["data.num_train=8"], ["data=shapes", "data.num_train=8", "data.image_size=16"]):
        said = evaluate(f"ckpt={run}", "protocol=mean", *argv)
        assert said.code == 0, said.err
    sizes = [(r["images"]["num_train"], r["images"]["image_size"]) for r in record(run / "evaluation.json")["results"]]
    assert sizes == [(16, 32), (8, 32), (8, 16)]


def test_a_masker_that_lost_its_description_is_missed_aloud(finished, evaluate, tmp_path):
    (tmp_path / "bare.ckpt").symlink_to(finished.folder / "checkpoints" / "last.ckpt")
    said = evaluate(f"ckpt={tmp_path}/bare.ckpt", "protocol=mean", *IMAGES)
    assert said.code == 0
    assert said.err.startswith("Warning: Evaluated without its masker.")
    assert said.err.count("\n") == 1


def test_views_have_the_statistics_of_the_training_whatever_the_images_are(run, evaluate):
    own = OmegaConf.load(run / "config.yaml").data
    images = instantiate(own, "data")
    said = evaluate(f"ckpt={run}", "protocol=statistics", *IMAGES, "data.num_train=12", "data.seed=5")
    assert said.code == 0, said.err
    (result,) = record(run / "evaluation.json")["results"]
    assert list(result["scores"].values()) == pytest.approx([*images.mean, *images.std])
    assert result["normalized_by"] == "the run's images"
    assert "Scored the student's backbone, with the mean and standard deviation of the run's images." in said.out
    assert "shapes has 12 images to learn from and 8 to score." in said.out


def test_the_teacher_is_scored_beside_the_student(run, stock, evaluate):
    for which in ("student", "teacher"):
        said = evaluate(f"ckpt={run}", "protocol=mean", f"which={which}")
        assert (said.code, said.err) == (0, "")
        assert f"Scored the {which}'s backbone" in said.out
    student, teacher = record(run / "evaluation.json")["results"]
    assert (student.get("which"), teacher["which"]) == (None, "teacher")
    assert student["scores"]["mean"] != teacher["scores"]["mean"]


def test_a_checkpoint_without_a_teacher_says_so(run, evaluate):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state = {k: value for k, value in checkpoint["state_dict"].items() if not k.startswith("momentum_")}
    (run / "checkpoints" / "last.ckpt").unlink()
    torch.save({**checkpoint, "state_dict": state}, run / "checkpoints" / "last.ckpt")
    said = evaluate(f"ckpt={run}", "protocol=mean", "which=teacher")
    assert said.code == 2
    assert re.fullmatch("Error: which=teacher: the method .* has no momentum backbone; leave which out.\n", said.err)


def test_which_images_are_right_is_kept_with_the_accuracy(run, evaluate):
    assert evaluate(f"ckpt={run}", "protocol=[knn,linear]").code == 0
    for result in record(run / "evaluation.json")["results"]:
        right = unpack(result["correct"]["acc1"])
        assert len(right) == 8
        assert 100 * right.mean() == pytest.approx(result["scores"]["acc1"])


def test_the_page_of_the_run_has_its_evaluation(finished, evaluate, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    before = (folder / "report.html").read_text().count("data:image/png")
    said = evaluate(f"ckpt={folder}", "protocol=[mean,embeddings]", "protocol.embeddings.method=pca")
    assert said.code == 0, said.err
    mean, embeddings = record(folder / "evaluation.json")["results"]
    page = (folder / "report.html").read_text()
    assert "<h2>Evaluation</h2>" in page
    kept = record(folder / "evaluation.json")
    (folder / "evaluation.json").write_text(json.dumps(kept | {"epochs": 1}))
    write_run_page(folder)
    assert "<h2>Evaluation after 1 of 2 epochs</h2>" in (folder / "report.html").read_text()
    assert f"{mean['scores']['mean']:.4g}" in page
    ends = ("_train.npz", "_val.npz", ".png")
    assert embeddings["files"] == [f"evaluation/embeddings_shapes{end}" for end in ends]
    assert all((folder / file).is_file() for file in embeddings["files"])
    # What is printed names the files, says what is in percent, and counts in whole numbers.
    files = [folder / file for file in ("evaluation.json", *embeddings["files"])]
    assert said.out.endswith(f"Wrote {', '.join(map(str, files))}\n")
    assert "Accuracies and overlaps are in percent. Scored the student's" in said.out
    assert re.search(r"images +│ +8 │", said.out)
    assert page.count("data:image/png") == before + 1


def test_a_published_checkpoint_of_adios_shows_its_masks(evaluate, tmp_path):
    state = {f"encoder.{name}": value for name, value in resnet18().state_dict().items() if not name.startswith("fc.")}
    torch.save({"state_dict": state | published(), "epoch": 399}, tmp_path / "simclr-ep=399.ckpt")
    (tmp_path / "args.json").write_text('{"unet_norm": "gn", "N": 3}')
    said = evaluate(f"ckpt={tmp_path}/simclr-ep=399.ckpt", "protocol=masks", *IMAGES)
    assert (said.code, said.err) == (0, "")
    (result,) = record(tmp_path / "simclr-ep=399_evaluation.json")["results"]
    assert 0 < result["scores"]["iou"] < 100
    assert result["files"] == ["simclr-ep=399_evaluation/masks_shapes.png"]
    with Image.open(tmp_path / result["files"][0]) as picture:
        assert picture.width > 6 * 200  # a view, three masks, their union and what is left


# ---------------------------------------------------------------------- where the results go


def test_results_of_another_call_stay(run, evaluate):
    evaluate(f"ckpt={run}", "protocol=[mean,hidden]")
    evaluate(f"ckpt={run}", "protocol=mean", "protocol.mean.scale=3")
    assert names(run / "evaluation.json") == ["hidden", "mean"]


def test_results_of_an_earlier_state_do_not_stay(run, evaluate):
    evaluate(f"ckpt={run}", "protocol=[mean,hidden]")
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["state_dict"]["classifier.bias"] += 1
    (run / "checkpoints" / "last.ckpt").unlink()
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    evaluate(f"ckpt={run}", "protocol=mean")
    assert names(run / "evaluation.json") == ["mean"]


def test_another_file_may_be_named(run, evaluate, tmp_path):
    assert evaluate(f"ckpt={run}", "protocol=mean", f"output={tmp_path}/new/mine.json").code == 0
    kept = record(tmp_path / "new" / "mine.json")
    assert evaluate(f"ckpt={run}", "protocol=mean", f"output={tmp_path}/new/mine.json").code == 0
    # The scores of another checkpoint are not lost.
    other = kept | {"state": "b", "checkpoint": "runs/other", "place": "elsewhere"}
    (tmp_path / "new" / "mine.json").write_text(json.dumps(other))
    said = evaluate(f"ckpt={run}", "protocol=mean", f"output={tmp_path}/new/mine.json")
    assert (said.code, record(tmp_path / "new" / "mine.json")["state"]) == (2, "b")
    assert "mine.json has the scores of another checkpoint, runs/other. Give output=..." in said.err
    assert names(tmp_path / "new" / "mine.json") == ["mean"]
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize("output", ["mine", "mine.txt", ".json"])
def test_a_file_that_is_no_json_is_refused_before_the_work(output, run, evaluate, tmp_path):
    said = evaluate(f"ckpt={run}", "protocol=mean", f"output={tmp_path}/{output}")
    assert said.code == 2
    assert said.err == f"Error: Expected output to be a file .json, but got {tmp_path}/{output}; add the suffix.\n"


def test_files_of_results_on_other_images_of_the_same_name_are_kept_apart(run, evaluate):
    for argv in ([], ["data.num_val=6"], []):
        said = evaluate(f"ckpt={run}", "protocol=embeddings", "protocol.embeddings.method=pca", *argv)
        assert said.code == 0, said.err
    fewer, own = (result["files"] for result in record(run / "evaluation.json")["results"])
    assert fewer == [f"evaluation/embeddings_shapes{end}" for end in ("_train_2.npz", "_val_2.npz", "_2.png")]
    assert own == [f"evaluation/embeddings_shapes{end}" for end in ("_train.npz", "_val.npz", ".png")]


def test_a_logger_gets_the_scores_and_the_rows_of_the_training_stay(run, evaluate):
    (run / "metrics.csv").write_text("step,epoch\n9,1\n")
    assert evaluate(f"ckpt={run}", "protocol=[mean,hidden]", "logger=csv").code == 0
    with (run / "evaluation" / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "2"
    assert float(row["hidden/area"]) == pytest.approx(record(run / "evaluation.json")["results"][1]["scores"]["area"])
    assert (run / "metrics.csv").read_text() == "step,epoch\n9,1\n"


def test_several_checkpoints_in_one_call(run, stock, evaluate):
    said = evaluate("-m", f"ckpt={run},{stock}", "protocol=[mean,statistics]", "protocol.mean.scale=5")
    assert (said.code, said.err) == (0, "")
    for folder in (run, stock):
        assert record(folder / "evaluation.json")["results"][-2]["settings"]["scale"] == 5
    table = said.out.split("2 finished jobs")[1]
    assert "mean/mean" in table
    assert "statistics/std_0" in table  # not its first score, but the one that it calls its main one
    for folder in (run, stock):
        assert f"{record(folder / 'evaluation.json')['results'][-2]['scores']['mean']:.2f}" in table


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["protocol=[mean,hiden]"], ["hiden", "did you mean 'hidden'"]),
        (["protocol=mean", "protocol.mean.scal=2"], ["did you mean 'scale'"]),
        (["protocol=mean", "protocol.mean.scale=0"], ["protocol.mean", "another number than 0"]),
        (["protocol=mean", "protocol.mean.scale=x"], ["protocol.mean.scale to be a number"]),
        (["protocol=knn", "data=image_folder", "data.train_path={tmp}/plain"], ["knn: ", "no labels"]),
    ],
)
def test_a_protocol_that_refuses_is_one_line(argv, words, run, evaluate, tmp_path):
    (tmp_path / "plain").mkdir()
    for number in range(8):
        Image.linear_gradient("L").resize((40 + number, 40)).convert("RGB").save(tmp_path / "plain" / f"{number}.png")
    said = evaluate(f"ckpt={run}", *(text.format(tmp=tmp_path) for text in argv))
    assert said.code == 2
    assert (said.out, said.err.count("\n")) == ("", 1), said.err
    for word in words:
        assert word in said.err
    assert not list(tmp_path.rglob("*evaluation.json"))
