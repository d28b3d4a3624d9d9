import pytest
import torch
from torch.nn import functional as F

from amask_solo.fills import Zero
from amask_solo.game.negatives import HardNegatives, one_more_logit
from amask_solo.maskers import Block, RandomMasker, SimultaneousMasker


@pytest.mark.parametrize("scale", [0.1, 1.0, 50.0])
def test_the_added_term_is_that_of_a_longer_row(scale):
    generator = torch.Generator().manual_seed(0)
    rows, hard = torch.randn(5, 7, generator=generator) * scale, torch.randn(5, generator=generator) * scale
    rows, hard, labels = rows.requires_grad_(), hard.requires_grad_(), torch.arange(5)
    values = (
        F.cross_entropy(rows, labels) + one_more_logit(hard, rows.logsumexp(dim=1)),
        F.cross_entropy(torch.cat([rows, hard[:, None]], dim=1), labels),
    )
    torch.testing.assert_close(*values)
    for found, expected in zip(*(torch.autograd.grad(value, (rows, hard)) for value in values), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_a_hard_negative_is_the_view_with_what_its_masker_hides():
    view = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    masker = RandomMasker(Block(), area=0.5, num_masks=2)
    hard = HardNegatives(masker).views(view, Zero(), generator=torch.Generator().manual_seed(1))
    hidden = hard != view
    assert (hard[hidden] == 0).all()
    assert ((hidden.float().mean(dim=(1, 2, 3)) - 0.5).abs() < 0.07).all()  # sides are whole pixels


def test_a_masker_that_would_have_to_be_trained_is_refused():
    with pytest.raises(ValueError, match="nobody trains"):
        HardNegatives(SimultaneousMasker())


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_weight_that_pushes_nothing_away_is_refused(weight):
    with pytest.raises(ValueError, match="weight of negatives"):
        HardNegatives(RandomMasker(), weight=weight)
