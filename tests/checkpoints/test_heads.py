"""The projector of a checkpoint is rebuilt from its tensors alone."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from amask_solo.checkpoints.networks import load_head
from amask_solo.hosts.repairs import STATE
from tests.players import METHODS, OneConvolution, build, masker_node

WITHOUT = {"dino"}
"""Methods without a projector: DINO compares scores of prototypes."""


def config(method: str, **more):
    return OmegaConf.create({"method": method, **more})


@pytest.mark.host
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_it_is_the_projector_of_every_method_of_the_host(name, masked):
    model = build(name, masker_node(OneConvolution) if masked else None)
    head = load_head({"state_dict": model.state_dict()}, config(f"amask_{name}" if masked else name))
    if name in WITHOUT:
        assert head is None
        return
    features = torch.randn(16, model.features_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.projector:
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.normal_()
        head.load_state_dict(model.projector.state_dict())
        torch.testing.assert_close(head(features), model.projector.eval()(features))
    assert not any(module.training for module in head.modules())


def row() -> dict:
    layers = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    return {"state_dict": {f"projector.{key}": value for key, value in layers.state_dict().items()}}


OWN = {"method": "simclr", "base_class": "mine.Method"}


@pytest.mark.parametrize("cfg", [None, config(**OWN)], ids=["no run", "own class"])
def test_where_the_activations_are_not_known_there_is_no_head(cfg):
    assert load_head(row(), config("simclr")) is not None
    assert load_head(row(), cfg) is None
    assert load_head({**row(), STATE: OWN}, None) is None


def test_a_checkpoint_in_no_run_folder_says_itself_whose_projector_it_has():
    assert load_head({**row(), STATE: {"method": "amask_simclr"}}, None) is not None


@pytest.mark.parametrize(
    "strange",
    [
        {"projector.head.weight": torch.zeros(2, 2)},
        {"projector.4.weight": torch.zeros(2, 2, 1, 1)},
        {"projector.4.running_mean": torch.zeros(2), "projector.4.running_wm": torch.zeros(2, 2)},
    ],
    ids=["a name", "a convolution", "whitening"],
)
def test_a_projector_that_is_no_plain_row_is_no_head(strange):
    made = row()
    made["state_dict"] |= strange
    assert load_head(made, config("simclr")) is None
