"""Scores of mean 0 and deviation 1."""

import pytest
import torch

from amask_solo.projections import AreaBudget, Binary, Disjoint, Sigmoid, Standardized


def logits(scale: float) -> torch.Tensor:
    return (scale * torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()


def pull(project, scale: float) -> float:
    """Return how strongly the masks of scores of some scale are pulled, relative to that scale."""
    scores = logits(scale)
    target = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    (project(scores) * target).sum().backward()
    return scale * scores.grad.norm().item()


def test_the_scores_of_each_mask_get_mean_zero_and_deviation_one():
    scores = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 4 + 3
    masks = Standardized(Sigmoid())(scores)
    for image in range(2):
        for n in range(3):
            one = scores[image, n]
            torch.testing.assert_close(masks[image, n], ((one - one.mean()) / one.std(correction=0)).sigmoid())


@pytest.mark.parametrize("wrap", [lambda p: p, Binary], ids=["soft", "binary"])
def test_scores_that_have_grown_learn_as_well_as_small_ones(wrap):
    alive, plain = wrap(Standardized(AreaBudget(0.25, sharpness=3.0))), wrap(AreaBudget(0.25, sharpness=3.0))
    assert pull(alive, 1e4) == pytest.approx(pull(alive, 1.0), rel=1e-3)
    assert pull(plain, 1e4) < 0.1 * pull(alive, 1e4)


def test_scores_that_are_all_the_same_make_an_even_veil_and_no_nan():
    scores = torch.zeros(2, 1, 8, 8, requires_grad=True)
    masks = Standardized(AreaBudget(0.25))(scores)
    masks.square().sum().backward()
    torch.testing.assert_close(masks, torch.full_like(masks, 0.25), atol=1e-3, rtol=0)
    assert scores.grad.isfinite().all()


def test_the_room_and_the_area_are_those_of_the_projection_within():
    hidden = torch.zeros(4, 1, 8, 8)
    hidden[..., :4] = 1
    mask = Binary(Disjoint(Standardized(AreaBudget(0.25))))(logits(50.0), hidden)
    assert mask[..., :4].eq(0).all()
    torch.testing.assert_close(mask.mean(dim=(1, 2, 3)), torch.full((4,), 0.25))
