"""A compiled masker: the same training, compiled once."""

from functools import partial
from unittest import mock

import jaxtyping
import pytest
import torch
from torch._dynamo.utils import counters

from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.maskers import SequentialMasker, SimultaneousMasker
from amask_solo.projections import area
from tests.players import build, fit, masker_node

pytestmark = pytest.mark.host

SMALL = {"_target_": "amask_solo.maskers.UNet", "_partial_": True, "width": 4, "depth": 1}
PATCHES = {"_target_": "amask_solo.projections.Patches", "patch_size": 8}
DRAWN = {**PATCHES, "inner": {"_target_": "amask_solo.projections.GumbelTopK", "area": 0.25}}
SGD = {
    "_target_": "torch.optim.SGD",
    "_partial_": True,
    "lr": 1e-3,
}  # Adam, and large steps, would enlarge what is left of rounding
SEQUENTIAL = masker_node(SequentialMasker, network=SMALL)
# With memory_efficient, masks are made again in the backward pass, where Lightning's default type is another one.
RUNS = {
    "alternating": (SEQUENTIAL, {"adversary.update": "alternating"}, 2),
    "one graph at a time": (SEQUENTIAL, {"adversary.draw": "all", "adversary.memory_efficient": True}, 2),
    "random numbers": (masker_node(SimultaneousMasker, network=SMALL, projection=DRAWN), {}, 1),
}


@pytest.fixture(autouse=True)
def _untyped():
    """Compile the package as it is for users: without the type checks of the tests, and afresh."""
    jaxtyping.config.update("jaxtyping_disable", True)
    torch._dynamo.reset()
    counters.clear()
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def trained(masker, settings, trainer, *, compiled, backend="aot_eager"):
    settings = {"adversary.optimizer": SGD, "adversary.compile": compiled, **settings}
    model = build("simclr", masker, **settings)
    with (
        mock.patch("torch.compile", partial(torch.compile, backend=backend)),
        # What is compiled does not halve.
        mock.patch.object(area, "_threshold_by_halving", area._threshold_by_rank),
    ):
        runner, _ = fit(model, epochs=1, batches=3, **trainer)
    return model, runner


def assert_same(expected, found):
    assert found.state_dict().keys() == expected.state_dict().keys()
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-3, atol=1e-3)


@pytest.mark.nightly
def test_a_compiled_masker_trains_alike_is_compiled_once_and_not_for_monitors(tmp_path):
    (expected, _), (found, runner) = (
        trained(SEQUENTIAL, {}, {"callbacks": [AdvantageMonitor()]}, compiled=compiled) for compiled in (False, True)
    )
    assert_same(expected, found)
    runner.save_checkpoint(tmp_path / "last.ckpt")
    expected.load_state_dict(torch.load(tmp_path / "last.ckpt")["state_dict"])
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(found.adversary.preview(images).masks, expected.adversary.preview(images).masks)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1


def _flat(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", RUNS)
def test_so_it_does_in_every_game(name, backend):
    *run, graphs = RUNS[name]
    double = {"precision": "64-true"}  # in float32, three steps enlarge rounding to 4e-4
    (expected, _), (found, _) = (trained(*run, double, compiled=it, backend=backend) for it in (False, True))
    torch.testing.assert_close(_flat(found), _flat(expected), rtol=1e-6, atol=1e-6)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_in_bf16_it_changes_less_than_bf16_does(backend):
    exact, _ = trained(SEQUENTIAL, {}, {"precision": "32-true"}, compiled=False)
    half = {"precision": "bf16-mixed"}
    (expected, _), (found, _) = (trained(SEQUENTIAL, {}, half, compiled=it, backend=backend) for it in (False, True))
    assert (_flat(found) - _flat(expected)).norm() < (_flat(expected) - _flat(exact)).norm()
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1
