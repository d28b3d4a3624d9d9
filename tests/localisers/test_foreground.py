"""The foreground is where the map is high, in place as in number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amask_solo.localisers import Everywhere, foreground


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), slack=st.floats(-1, 2), grid=st.integers(2, 7))
def test_it_is_the_cells_that_reach_the_mean_less_some_deviations(seed, slack, grid):
    maps = np.random.default_rng(seed).exponential(size=(2, 1, grid, grid))
    expected = [cells >= cells.mean() - slack * cells.std() for cells in maps[:, 0]]
    found = foreground(torch.from_numpy(maps), grid, slack=slack)
    assert np.array_equal(found[:, 0].numpy(), np.stack(expected))


@pytest.mark.parametrize("column", range(7))
def test_a_column_is_found_where_it_is(column):
    """The code of Chin et al. sorts each row first, and finds every column at the right."""
    maps = torch.zeros(1, 1, 7, 7)
    maps[..., column] = 1
    assert torch.equal(foreground(maps, 7, slack=0.0), maps.bool())


@pytest.mark.parametrize("size", [2, 5, 14, 64])
def test_a_map_of_any_size_is_brought_to_the_grid(size):
    maps = torch.zeros(1, 1, size, size)
    maps[..., : size // 2] = 1
    found = foreground(maps, 7, slack=0.0)
    assert found[..., :3].all()
    assert not found[..., -3:].any()


def test_a_flat_map_has_the_same_answer_everywhere():
    assert foreground(Everywhere()(torch.randn(3, 3, 8, 8)), 7).all()
    assert len(foreground(torch.full((1, 1, 3, 3), 0.1), 7).unique()) == 1
