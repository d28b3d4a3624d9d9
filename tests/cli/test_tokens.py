"""A run that leaves hidden patches out, from the command line to its scores."""

import json
import os

import pytest
import torch

import amask_solo.runs.evaluate  # noqa: F401 - so that beartype says here what it has to say
from tests.cli.command import HEADS, call, pretrain
from tests.daily import one_in

VIT = ["backbone.name=timm/vit_tiny_patch16_224", "backbone.kwargs={patch_size:8,embed_dim:48,depth:1,num_heads:3}"]
HALF = ["masker=gumbel_patches", "adversary.masker.projection.patch_size=8"]
HALF += ["adversary.masker.projection.inner.area=0.5", "adversary.drop_tokens=true", "adversary.share=1.0", "stem=auto"]


@pytest.fixture(scope="module", params=one_in(2, ["method=amask_byol update=alternating", "method=amask_simclr"]))
def run(request, tmp_path_factory):
    """A run that went on from the checkpoint before the last."""
    cwd = tmp_path_factory.mktemp("tokens")
    small = HEADS if "byol" in request.param else HEADS[:2]
    argv = [*request.param.split(), *VIT, *HALF, *small, "max_epochs=2", "run_folder=run"]
    said = pretrain(*argv, cwd=cwd)
    assert said.code == 0, said.err
    last = cwd / "run" / "checkpoints" / "last.ckpt"
    wanted = torch.load(last, weights_only=True)["state_dict"]
    os.truncate(last, 100_000)
    said = pretrain(*argv, "resume=true", cwd=cwd)
    assert said.code == 0, said.err
    found = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    return cwd / "run"


def test_it_is_watched_as_any_run_is(run):
    assert json.loads((run / "summary.json").read_text())["masks"]["area"] == pytest.approx(0.5)
    assert (run / "masks" / "epoch_0002.png").is_file()
    assert "adversary/lift_blocks" in (run / "metrics.csv").read_text()


def test_it_is_evaluated_and_exported(run):
    said = call("evaluate", f"ckpt={run}", "protocol=[knn,masks]", "device=cpu", cwd=run)
    assert (said.code, said.err) == (0, "")
    said = call("export", f"ckpt={run}", "format=timm", cwd=run)
    assert said.code == 0
    assert "patch_size=8" in said.out


def test_what_does_not_suit_it_is_refused_with_one_line(tmp_path):
    for setting, words in {
        "masker=random_block": "whole patches",
        "backbone.name=resnet18": "none that can do",
    }.items():
        argv = ["backbone.name=vit_tiny", "adversary.drop_tokens=true", "adversary.share=1.0", setting]
        said = pretrain(*argv, cwd=tmp_path)
        assert said.code == 2
        assert words in said.err
        assert "Traceback" not in said.err
