from unittest import mock

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amask_solo.projections import AreaBudget, Disjoint, Sigmoid, Softmax, area, area_budget

SHAPES = ["normal", "constant", "two values", "one pixel", "ramp"]
areas = st.floats(0.02, 0.98)
scales = st.sampled_from([0.0, 0.1, 1.0, 30.0, 1e4, 1e6])


def make_logits(shape, scale, *, seed=0, masks=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, masks, 12, 9, generator=generator)
    if shape == "constant":
        logits = torch.full_like(logits, -1.0 if seed % 2 else 1.0)
    elif shape == "two values":
        logits = logits.sign()
    elif shape == "one pixel":
        logits = torch.zeros_like(logits)
        logits[..., 3, 4] = 1
    elif shape == "ramp":
        logits = torch.linspace(-1, 3, 108).reshape(12, 9).expand_as(logits)
    return (logits * scale).to(dtype)


def area_of(masks):
    return masks.mean(dim=(-2, -1))


def test_softmax_shares_every_pixel_out():
    masks = Softmax()(make_logits("normal", 1e4, masks=5))
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(3, 12, 9))


def test_softmax_refuses_a_single_mask():
    with pytest.raises(ValueError, match="two masks or more"):
        Softmax()(torch.zeros(1, 1, 4, 4))


def test_sigmoid_is_free():
    assert area_of(Sigmoid()(torch.full((1, 1, 4, 4), 50.0))) == 1
    assert area_of(Sigmoid()(torch.full((1, 1, 4, 4), -200.0))) == 0


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(SHAPES), scales, areas, st.booleans(), st.integers(0, 9))
def test_the_budget_is_met_exactly(shape, scale, area, bf16, seed):
    dtype = torch.bfloat16 if bf16 else torch.float32
    masks = AreaBudget(area)(make_logits(shape, scale, seed=seed, dtype=dtype))
    assert masks.dtype == torch.float32
    assert masks.min() >= 0
    assert masks.max() <= 1
    torch.testing.assert_close(area_of(masks), torch.full((3, 2), area), atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(SHAPES), scales, areas, areas, st.sampled_from([None, 0.3, 5.0, 1e3]), st.integers(0, 9))
@example("normal", 0.0, 0.5, 0.5, 0.3, 4)
@example("two values", 0.3, 0.5, 0.5, 0.3, 4)
def test_a_device_s_few_steps_meet_the_budget_as_the_halvings_of_a_cpu_do(shape, scale, one, other, earlier, seed):
    logits, bounds = make_logits(shape, scale, seed=seed), sorted((one, other))
    room = None if earlier is None else 1 - Sigmoid()(make_logits("normal", earlier, seed=seed + 10, masks=1))
    for low, high in (bounds, bounds[:1] * 2):
        halved = area_budget(logits, low, high, room=room)
        with mock.patch.object(area, "_threshold_by_halving", area._threshold_by_rank):
            stepped = area_budget(logits, low, high, room=room)
        torch.testing.assert_close(area_of(stepped), area_of(halved), atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(SHAPES), scales, areas, areas, st.floats(-3, 3))
def test_a_range_holds_the_area_between_its_ends(shape, scale, one, other, offset):
    low, high = sorted((one, other))
    logits = make_logits(shape, scale) + offset
    wanted = area_of(torch.sigmoid(logits)).clamp(low, high)
    torch.testing.assert_close(area_of(AreaBudget((low, high), sharpness=1.0)(logits)), wanted, atol=1e-3, rtol=0)


def test_a_range_leaves_a_mask_inside_it_alone_and_its_gradient_too():
    logits = make_logits("normal", 2.0).requires_grad_()
    inside = AreaBudget([0.1, 0.9], sharpness=1.0)(logits)
    torch.testing.assert_close(inside, torch.sigmoid(logits), atol=1e-5, rtol=0)
    weight = torch.rand(inside.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad((weight * inside).sum(), logits)
    (expected,) = torch.autograd.grad((weight * torch.sigmoid(logits)).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_gradient_of_a_budget_cannot_change_the_area():
    logits = make_logits("normal", 3.0).requires_grad_()
    (gradient,) = torch.autograd.grad(area_of(AreaBudget(0.3)(logits)).sum(), logits)
    assert gradient.abs().max() < 1e-6


def test_a_budget_does_not_see_an_offset_of_the_logits():
    logits = make_logits("normal", 3.0)
    torch.testing.assert_close(AreaBudget(0.3)(logits + 500), AreaBudget(0.3)(logits), atol=1e-3, rtol=0)


def test_a_budget_keeps_the_order_of_the_pixels():
    logits = make_logits("normal", 3.0).flatten(2)
    masks = AreaBudget(0.3)(logits.unflatten(2, (12, 9))).flatten(2)
    assert (masks.gather(2, logits.argsort(dim=2)).diff(dim=2) >= 0).all()


@pytest.mark.parametrize("room", [None, 0.5, "random"])
@pytest.mark.parametrize("bounds", [(0.3, 0.3), (0.1, 0.4), (0.01, 0.9), (0.35, 0.9)])
def test_the_implicit_gradient_is_that_of_finite_differences(room, bounds):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64) * 2 - 0.4
    if room is not None:
        room = torch.rand(2, 1, 3, 4, generator=generator, dtype=torch.float64)
        room = (0.6 + 0.4 * room).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, r: area_budget(x, *bounds, room=r), (logits.requires_grad_(), room))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SHAPES), scales, st.sampled_from([0.3, (0.2, 0.4)]), st.booleans())
def test_gradients_are_finite_at_any_scale(shape, scale, area, bf16):
    logits = make_logits(shape, scale, dtype=torch.bfloat16 if bf16 else torch.float32)
    logits = logits.detach().requires_grad_()
    hidden = Sigmoid()(make_logits("normal", 1e3, masks=1))
    for masks in (AreaBudget(area)(logits), Disjoint(AreaBudget(area))(logits, hidden)):
        weight = torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad((weight * masks).sum(), logits)
        assert gradient.isfinite().all()


def test_a_saturated_mask_can_still_move():
    # All pixels beyond what a sigmoid can resolve: without the shift, every gradient would be 0.
    logits = (1e4 + make_logits("normal", 1.0)).requires_grad_()
    masks = AreaBudget(0.25, sharpness=1.0)(logits)
    (gradient,) = torch.autograd.grad(masks[..., 0, 0].sum(), logits)
    assert (gradient[..., 0, 0] > 1e-3).all()


@settings(deadline=None, max_examples=60)
@given(scales, st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.integers(0, 9))
def test_disjoint_masks_leave_hidden_pixels_alone_and_meet_the_budget_if_there_is_room(scale, taken, area, seed):
    hidden = AreaBudget(taken)(make_logits("normal", 5.0, seed=seed, masks=1))
    masks = Disjoint(AreaBudget(area))(make_logits("normal", scale, seed=seed + 10), hidden)
    assert (masks <= 1 - hidden + 1e-6).all()
    wanted = torch.full((3, 2), min(area, 1 - taken))
    torch.testing.assert_close(area_of(masks), wanted, atol=1e-3, rtol=0)


def test_disjoint_masks_on_a_full_image_are_empty():
    logits = make_logits("normal", 1.0).requires_grad_()
    masks = Disjoint(AreaBudget(0.25))(logits, torch.ones(3, 1, 12, 9))
    assert masks.abs().max() == 0
    (gradient,) = torch.autograd.grad(masks.sum(), logits)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("inner", [Sigmoid(), Softmax(), AreaBudget(0.2)])
def test_disjoint_without_earlier_masks_is_the_inner_projection(inner):
    logits = make_logits("normal", 3.0)
    torch.testing.assert_close(Disjoint(inner)(logits), inner(logits))


def test_only_disjoint_looks_at_what_is_hidden():
    logits, hidden = make_logits("normal", 3.0), torch.ones(3, 1, 12, 9)
    for projection in (Sigmoid(), Softmax(), AreaBudget(0.2)):
        torch.testing.assert_close(projection(logits, hidden), projection(logits))
        assert Disjoint(projection)(logits, hidden).abs().max() == 0


@pytest.mark.parametrize("area", [0.0, 1.0, -0.1, [0.4, 0.2], [0.1, 0.2, 0.3], [], [0.0, 0.5]])
def test_impossible_areas_are_refused(area):
    with pytest.raises(ValueError, match="Expected area"):
        AreaBudget(area)
