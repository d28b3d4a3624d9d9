"""Keys of the trainer, and weights to download: each works, or is one line with the exit code of mistakes."""

import pytest

from tests.cli.command import BARE, HEADS, NARROW, pretrain
from tests.daily import one_in

QUICK = [*HEADS, *BARE, "advantage=0", "run_folder=run"]


def check_refused(said, words, cwd) -> None:
    assert said.code == 2
    (line,) = (line for line in said.err.splitlines() if not line.startswith("Warning"))
    assert line.startswith("Error")
    assert words in line
    assert not (cwd / "run" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("trainer.overfit_batches=2", "data.max_images=N trains on few"),
        ("trainer.barebones=true", "writes its metrics and checkpoints"),
        ("trainer.gradient_clip_val=-1", "at least 0"),
        ("trainer.fast_dev_run=true", "max_epochs=1 trainer.limit_train_batches=1 is as short"),
        ("trainer.num_nodes=2", "no launcher has started this process"),
    ],
)
def test_what_does_not_work_is_one_line(key, words, tmp_path, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    check_refused(pretrain(*QUICK, key, cwd=tmp_path), words, tmp_path)


def test_a_run_without_a_bar_says_nothing_of_its_epochs(tmp_path):
    said = pretrain(*QUICK, *NARROW, "trainer.enable_progress_bar=false", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "epoch 1/1" not in said.out


@pytest.mark.parametrize("name", one_in(3, ["resnet18", "vit_tiny", "timm/resnet18.a1_in1k"]))
def test_weights_that_cannot_be_downloaded_are_one_line(name, tmp_path, monkeypatch):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    said = pretrain(*QUICK, f"backbone.name={name}", "backbone.kwargs.pretrained=true", cwd=tmp_path)
    check_refused(said, "downloads the weights", tmp_path)
    assert "init=PATH" in said.err
