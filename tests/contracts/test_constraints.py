import pytest
import torch

from amask_solo.constraints import Constraint
from tests.contracts.configs import build, names

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(params=names("constraint"))
def constraint(request):
    return build("constraint", request.param).eval()


def random_masks():
    return torch.rand(5, 3, 12, 9, generator=torch.Generator().manual_seed(0))


def penalty_and_gradient(constraint, area, dtype):
    masks = torch.full((2, 3, 8, 8), area, dtype=dtype, requires_grad=True)
    penalty = constraint(masks)
    # The empty sum has no graph at all, and so no gradient.
    gradient = torch.zeros_like(masks)
    if penalty.requires_grad:
        (gradient,) = torch.autograd.grad(penalty, masks)
    return penalty, gradient


def test_the_penalty_is_one_number_and_not_negative(constraint):
    assert isinstance(constraint, Constraint)
    penalty = constraint(random_masks())
    assert penalty.shape == ()
    assert penalty >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("area", [0.0, 0.5, 1.0])
def test_penalty_and_gradient_are_finite(constraint, area, dtype):
    penalty, gradient = penalty_and_gradient(constraint, area, dtype)
    assert penalty.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_an_extreme_is_penalized_the_gradient_points_inwards(constraint, dtype):
    if list(constraint.parameters()):
        pytest.skip("what a learned constraint asks for is not known beforehand")
    inside = min(penalty_and_gradient(constraint, a, dtype)[0] for a in (0.25, 0.5, 0.75))
    for area, outwards in ((0.0, 1), (1.0, -1)):
        penalty, gradient = penalty_and_gradient(constraint, area, dtype)
        if penalty > inside:
            assert (gradient * outwards < 0).all()


def test_the_order_of_images_does_not_matter(constraint):
    masks = random_masks()
    torch.testing.assert_close(constraint(masks), constraint(masks.flip(0)))


def test_the_penalty_is_a_mean_over_images(constraint):
    masks = random_masks()
    alone = torch.stack([constraint(mask.unsqueeze(0)) for mask in masks])
    torch.testing.assert_close(constraint(masks), alone.mean())
