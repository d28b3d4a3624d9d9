"""A narrow network of timm's, from the command line to its scores."""

import json
import os

import pytest
import torch

from tests.cli.command import BARE, HEADS, call, pretrain

FLAT = ["backbone.name=timm/resnet18", "backbone.kwargs={channels:[16,16,16,32],layers:[1,1,1,1]}", "stem=auto"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that went on from the checkpoint before the last."""
    cwd = tmp_path_factory.mktemp("timm")
    said = pretrain(*FLAT, *HEADS, *BARE, "max_epochs=2", "run_folder=run", cwd=cwd)
    assert said.code == 0, said.err
    last = cwd / "run" / "checkpoints" / "last.ckpt"
    wanted = torch.load(last, weights_only=True)
    os.truncate(last, 100_000)
    said = pretrain(*FLAT, *HEADS, *BARE, "max_epochs=2", "run_folder=run", "resume=true", cwd=cwd)
    assert said.code == 0, said.err
    found = torch.load(last, weights_only=True)
    assert all(torch.equal(found["state_dict"][name], value) for name, value in wanted["state_dict"].items())
    return cwd / "run"


def test_the_summary_says_which_network_it_was(run):
    told = json.loads((run / "summary.json").read_text())["backbone"]
    assert told == "timm/resnet18 channels=[16, 16, 16, 32] layers=[1, 1, 1, 1]"


def test_it_is_scored_as_its_export_is(run):
    images = [f"data.{key}" for key in ("num_train=16", "num_val=8", "image_size=32")]
    assert call("export", f"ckpt={run}", cwd=run).code == 0  # for the library that has it
    found = {run: "evaluation.json", run / "backbone_timm.pth": "backbone_timm_evaluation.json"}
    for ckpt in found:
        argv = ["data=shapes", *images, "protocol=[knn,segmentation]", "device=cpu"]
        said = call("evaluate", f"ckpt={ckpt}", *argv, cwd=run)
        assert (said.code, said.err) == (0, "")
    own, exported = (json.loads((run / name).read_text()) for name in found.values())
    assert own["arch"] == exported["arch"] == "timm/resnet18"
    assert [r["scores"] for r in own["results"]] == [r["scores"] for r in exported["results"]]


def test_torchvision_has_no_such_network(run):
    said = call("export", f"ckpt={run}", "format=torchvision", cwd=run)
    assert said.code == 2
    assert "Use format=timm or format=safetensors" in said.err


def test_a_vit_of_timms_is_built_for_the_views_and_masked_by_its_patches(tmp_path):
    argv = ["method=amask_simclr", "masker=simultaneous_patches", "backbone.name=timm/test_vit", *HEADS[:2], *BARE]
    said = pretrain(*argv, "run_folder=run", cwd=tmp_path)
    assert said.code == 0, said.err
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["amask_host"]
    assert saved["backbone_kwargs"] == {"img_size": 32}
