"""Run folders of version 0.8, made with its code, are still evaluated, resumed and exported.

The archive has one run that finished, and the same one killed after the first of its two epochs; ``best.ckpt``,
``previous.ckpt`` and ``report.html`` were left out of it.
"""

import csv
import json
import tarfile
from pathlib import Path

import hydra
import pytest
import timm
import torch
from omegaconf import OmegaConf

from amask_solo.checkpoints.stored import read_stored
from amask_solo.hosts.installed import load_host
from tests.cli.command import TINY, call

pytestmark = pytest.mark.host

SETTINGS = [
    *TINY,
    "max_epochs=2",
    "method=amask_simclr",
    "backbone.name=timm/resnet18",
    "backbone.kwargs.channels=[4,4,4,4]",
    "backbone.kwargs.layers=[1,1,1,1]",
    "method_kwargs.proj_hidden_dim=4",
    "method_kwargs.proj_output_dim=4",
    "masker=sequential_three",  # with its share and learning rate: the default of 0.8
    "adversary.share=1.0",
    "adversary.optimizer.lr=0.001",
    "+adversary.masker.network={_target_:amask_solo.maskers.networks.UNet,_partial_:true,width:4,depth:1}",
    "mask_panels=0",
]
TARGETS = {
    "constraints": "AreaTarget Binariness InverseSine Overlap PerMask ShapePrior Smoothness WeightedSum",
    "data": "load_cifar10 load_cifar100 load_image_folder load_image_masks load_stl10 make_shapes",
    "fills": "Blur ChannelWise HighPass ImageMean Noise Zero",
    "game.negatives": "HardNegatives",
    "game.updates": "Alternating Reversal",
    "hard_views": "AdversarialPixels Beside Box Chain CutMix",
    "hosts.lars": "LARS",
    "localisers": "BackboneMap Everywhere Handover SpectralResidual Weights",
    "maskers": "BandNoise Block Centered Focal Grid MixtureMasker NoMasks PatchHead RandomMasker SaliencyMasker "
    "SequentialMasker SimultaneousMasker",
    "maskers.networks": "UNet",
    "projections": "AreaBudget Disjoint GumbelTopK Patches",
    "runs.callbacks": "csv wandb",
}
"""All that the configurations of 0.8 could put into the ``config.yaml`` of a run, by module."""


@pytest.fixture
def runs(tmp_path) -> Path:
    """The working directory of that time, with both runs in its folder ``runs``."""
    with tarfile.open(Path(__file__).with_name("v0_8.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "v0_8").rename(tmp_path / "runs")
    return tmp_path


@pytest.mark.parametrize("module", TARGETS)
def test_what_a_stored_configuration_names_is_still_found(module, tmp_path):
    nodes = {name: {"_target_": f"amask_solo.{module}.{name}"} for name in TARGETS[module].split()}
    OmegaConf.save(OmegaConf.create(nodes), tmp_path / "config.yaml")
    for name, node in read_stored(tmp_path / "config.yaml").items():
        assert hydra.utils.get_object(node["_target_"]).__name__ == name


@pytest.mark.parametrize("run", ["finished", "killed"])
def test_it_is_evaluated_with_its_masker(runs, run):
    said = call("evaluate", f"ckpt=runs/{run}", "protocol=[knn,masks]", "device=cpu", cwd=runs)
    assert said.code == 0, said.err
    assert "without its masker" not in said.err
    results = json.loads((runs / "runs" / run / "evaluation.json").read_text())
    assert [result["protocol"] for result in results["results"]] == ["knn", "masks"]


def test_it_is_exported(runs):
    said = call("export", "ckpt=runs/finished", "format=timm", "path=backbone.pth", cwd=runs)
    assert said.code == 0, said.err
    model = timm.create_model("resnet18", num_classes=0, channels=[4, 4, 4, 4], layers=[1, 1, 1, 1])
    model.load_state_dict(torch.load(runs / "backbone.pth", weights_only=True))


@pytest.mark.skipif(load_host().generation != "release", reason="it was trained by the other host")
def test_it_goes_on_and_ends_as_it_would_have(runs):
    said = call("pretrain", *SETTINGS, "resume=true", "run_folder=runs/killed", cwd=runs)
    assert said.code == 0, said.err
    assert "ckpt_path" not in said.err  # 0.8 had other callbacks for its checkpoints, which is no news to the user
    resumed, finished = (runs / "runs" / name for name in ("killed", "finished"))
    assert json.loads((resumed / "summary.json").read_text())["status"] == "finished"
    found, expected = (_rows(folder) for folder in (resumed, finished))
    for row, wanted in zip(found, expected, strict=True):
        row.pop("lr", None)  # 0.8 did not write it
        assert row.keys() == wanted.keys()
        assert row == pytest.approx(wanted, rel=1e-3, abs=1e-4, nan_ok=True)
    found, expected = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (resumed, finished)
    )
    assert found["global_step"] == expected["global_step"]
    # A budget does not see what is added to all scores, so the gradient of their bias is rounding, which Adam enlarges.
    for run in (found, expected):
        run["state_dict"].pop("adversary.game.masker.network.score.bias")
    torch.testing.assert_close(found["state_dict"], expected["state_dict"], rtol=1e-3, atol=1e-4)


def _rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]
