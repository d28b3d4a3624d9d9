"""Moves of the masker beyond one a step: made on its own, and noticed by nobody."""

import pytest
import torch

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.masked.method import wrap
from tests.players import KINDS, OneConvolution, build, fit, masker_node
from tests.tiny import BATCH, thin_networks, tiny_cfg

pytestmark = pytest.mark.host

STILL = {"adversary.optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.0}}


def trained(method: str, steps: int):
    part = 1.0 if method in ("wmse", "deepclusterv2") else 0.5  # these need the whole batch
    model = build(method, masker_node(OneConvolution), **{"adversary.steps": steps, "adversary.part": part}, **STILL)
    fit(model, epochs=2 if method == "deepclusterv2" else 1, batches=2)  # it has no signal in its first epoch
    return model.state_dict()


@pytest.mark.parametrize("method", KINDS)
def test_a_masker_that_stands_still_leaves_all_else_as_with_one_move(method):
    one, three = trained(method, 1), trained(method, 3)
    for name, value in one.items():
        torch.testing.assert_close(value, three[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("update", ["reversal", "alternating"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_masker_moves_so_often_for_each_step_of_the_encoder(update, accumulate):
    model = build("simclr", masker_node(OneConvolution), **{"adversary.steps": 3, "adversary.update": update})
    fit(model, epochs=1, batches=4, accumulate_grad_batches=accumulate)
    (state, *_) = model.adversary.optimizer_state()["state"].values()
    assert state["step"] == 3 * 4 / accumulate


@pytest.mark.parametrize("update", ["reversal", "alternating"])
def test_a_further_move_sees_the_queue_without_the_batch_that_it_is_made_on(update):
    seen = []
    base = load_host().stock("mocov2plus")

    class Watched(base):
        def training_step(self, batch, batch_idx):
            seen.append((len(batch[0]), self.queue.clone()))
            return super().training_step(batch, batch_idx)

    settings = {"adversary.steps": 3, "adversary.update": update, "adversary.masker": masker_node(OneConvolution)}
    with thin_networks():
        model = wrap(Watched)(tiny_cfg("amask_mocov2plus", **settings))
    before = model.queue.clone()
    fit(model, epochs=1, batches=1)
    assert len(seen) >= 3
    assert {size for size, _ in seen} == {BATCH, BATCH // 2}
    assert all(queue.equal(before) for _, queue in seen)
    assert not model.queue.equal(before)


@pytest.mark.parametrize("method", ["ressl", "wmse"])
def test_a_masker_is_not_left_to_a_view_that_gives_it_no_gradient(method):
    with pytest.raises(UserError, match="no gradient to view 1"):
        build(method, masker_node(OneConvolution), **{"adversary.side": 1})


@pytest.mark.parametrize("setting", [{"adversary.steps": 0}, {"adversary.part": 0.0}, {"adversary.part": 1.5}])
def test_a_number_out_of_range_is_refused(setting):
    with pytest.raises(UserError, match="Expected"):
        build("simclr", masker_node(OneConvolution), **setting)
