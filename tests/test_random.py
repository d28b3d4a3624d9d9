"""Random streams hold no state, so a resumed run draws what the first would have drawn."""

import pytest
import torch

from amask_solo._random import stream, untouched

USE = {"name": "masks", "seed": 0, "rank": 0, "step": 7}


def drawn(**other):
    return torch.rand(4, generator=stream(**{**USE, **other}, device="cpu"))


def test_the_same_use_in_the_same_step_draws_the_same():
    assert torch.equal(drawn(), drawn())


def test_stored_runs_draw_on_as_they_began():
    torch.testing.assert_close(drawn(), torch.tensor([0.1524, 0.9035, 0.9496, 0.151]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("other", [{"name": "fill"}, {"seed": 1}, {"rank": 1}, {"step": 8}])
def test_another_use_seed_process_or_step_draws_other_numbers(other):
    assert not torch.isclose(drawn(), drawn(**other)).any()


def test_global_numbers_are_left_as_they_are_found():
    before = torch.get_rng_state()
    with untouched(torch.device("cpu")):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
