"""One masked view's graph at a time: the same training in less memory."""

import pytest
import torch

from amask_solo.hosts.methods import by_name
from amask_solo.masked.clean_view import in_memory_format
from tests.daily import of_each_kind
from tests.players import METHODS, OneConvolution, attach, batch_of, build, fit, masker_node

pytestmark = pytest.mark.host

SET_UP_BY_HOOKS = ("deepclusterv2", "swav")


@pytest.mark.parametrize(
    ("name", "update"),
    of_each_kind((name, "reversal") for name in METHODS if name not in SET_UP_BY_HOOKS)
    + [(name, "alternating") for name in ("byol", "simclr", "nnclr")],
)
def test_the_graph_of_one_mask_at_a_time_gives_the_gradients_of_all_graphs_together(name, update, double):
    gradients, buffers = [], []
    for frugal in (False, True):
        settings = {"adversary.update": update, "adversary.draw": "all", "adversary.memory_efficient": frugal}
        model = build(name, masker_node(OneConvolution, num_masks=3), **settings).double()
        attach(model)
        batch = in_memory_format(model, batch_of(dtype=torch.float64))
        torch.manual_seed(2)
        model.training_step(batch, 0).backward()
        if update == "alternating":
            model._masker_turn(model.step)
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
        buffers.append(dict(model.named_buffers()))
    assert gradients[0].keys() == gradients[1].keys()
    for together, one_by_one in (gradients, buffers):
        for key, expected in together.items():
            torch.testing.assert_close(one_by_one[key], expected, rtol=1e-7, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize(("name", "accumulated"), [("simclr", 2), *((name, 1) for name in SET_UP_BY_HOOKS)])
def test_the_graph_of_one_mask_at_a_time_trains_the_same_network(name, accumulated):
    trained = []
    for frugal in (False, True):
        settings = {
            "adversary.draw": "all",
            "adversary.memory_efficient": frugal,
            "accumulate_grad_batches": accumulated,
        }
        model = build(name, masker_node(OneConvolution, num_masks=3), **settings)
        epochs = by_name(name).first_epoch + 1
        fit(model, epochs=epochs, accumulate_grad_batches=accumulated)
        trained.append(model.state_dict())
    for key, expected in trained[0].items():
        torch.testing.assert_close(trained[1][key], expected, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("update", ["reversal", "alternating"])
def test_bf16_mixed_works_with_one_graph_at_a_time(update):
    settings = {"adversary.draw": "all", "adversary.memory_efficient": True, "adversary.update": update}
    model = build("simclr", masker_node(OneConvolution), **settings)
    _, trace = fit(model, epochs=1, precision="bf16-mixed")
    assert torch.isfinite(trace.turn.loss)


class Saved:
    """What the graphs of a step keep, in bytes: now, and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: torch.Tensor) -> "Kept":
        return Kept(self, tensor)


class Kept:
    def __init__(self, saved: Saved, tensor: torch.Tensor) -> None:
        self.saved, self.tensor = saved, tensor
        saved.now += tensor.nbytes
        saved.most = max(saved.most, saved.now)

    def __del__(self) -> None:
        self.saved.now -= self.tensor.nbytes


TURNS = {
    "encoder's turn": lambda model: model.training_step(batch_of(), 0).backward(),
    "masker's turn": lambda model: model._masker_turn(model.step),
    "further moves": lambda model: model._further_moves(model.step),
}


def graphs_of(turn: str, masks: int, *, frugal: bool) -> int:
    settings = {"adversary.draw": "all", "adversary.memory_efficient": frugal, "adversary.steps": 2}
    model = build("simclr", masker_node(OneConvolution, num_masks=masks), **settings)
    attach(model)
    model._move = lambda step: None  # there is no training whose share it could be
    model.training_step(batch_of(), 0)
    saved = Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda kept: kept.tensor):
        TURNS[turn](model)
    return saved.most


@pytest.mark.parametrize("turn", TURNS)
def test_the_graphs_of_eight_masks_take_little_more_than_those_of_one(turn):
    one = graphs_of(turn, 1, frugal=False)
    assert graphs_of(turn, 8, frugal=True) < 1.2 * one
    assert graphs_of(turn, 8, frugal=False) > 3 * one


def test_it_is_no_matter_with_one_mask():
    model = build("simclr", masker_node(OneConvolution), **{"adversary.memory_efficient": True})
    assert not model.adversary.memory_efficient
