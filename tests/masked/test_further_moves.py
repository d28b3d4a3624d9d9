"""Moves of the masker beyond one a step: made on its own, and noticed by nobody."""

import pytest
import torch

from amask_solo.errors import UserError
from tests.players import METHODS, OneConvolution, build, fit, masker_node

pytestmark = pytest.mark.host

STILL = {"adversary.optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.0}}


def trained(method: str, steps: int):
    # W-MSE needs the whole batch.
    part = 1.0 if method == "wmse" else 0.5
    model = build(method, masker_node(OneConvolution), **{"adversary.steps": steps, "adversary.part": part}, **STILL)
    fit(model, epochs=1, batches=2)
    return model.state_dict()


@pytest.mark.parametrize("method", METHODS)
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


@pytest.mark.parametrize("setting", [{"adversary.steps": 0}, {"adversary.part": 0.0}, {"adversary.part": 1.5}])
def test_a_number_out_of_range_is_refused(setting):
    with pytest.raises(UserError, match="Expected"):
        build("simclr", masker_node(OneConvolution), **setting)
