import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amask_solo.maskers import SequentialMasker, SimultaneousMasker
from amask_solo.projections import AreaBudget, Binary, Disjoint, Sigmoid, Softmax
from tests.projections.test_projections import SHAPES, areas, make_logits, scales

INNER = [Sigmoid(), Softmax(), AreaBudget(0.3), AreaBudget([0.2, 0.6])]


def pixels_of(masks):
    return masks.sum(dim=(-2, -1))


def is_binary(masks):
    return bool(((masks == 0) | (masks == 1)).all())


def gradient(projection, logits, hidden=None):
    logits = logits.detach().requires_grad_()
    masks = projection(logits, hidden)
    weight = torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((weight * masks).sum(), logits)[0]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SHAPES), scales, areas, st.booleans(), st.integers(0, 9))
def test_exactly_as_many_pixels_are_hidden_as_the_budget_says(shape, scale, area, bf16, seed):
    logits = make_logits(shape, scale, seed=seed, dtype=torch.bfloat16 if bf16 else torch.float32)
    masks = Binary(AreaBudget(area))(logits)
    assert is_binary(masks)
    assert (pixels_of(masks) == round(area * 108)).all()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SHAPES), scales, areas, areas)
def test_of_a_range_the_number_is_that_of_the_soft_mask(shape, scale, one, other):
    budget = AreaBudget(sorted((one, other)), sharpness=1.0)
    logits = make_logits(shape, scale)
    torch.testing.assert_close(pixels_of(Binary(budget)(logits)), pixels_of(budget(logits)), atol=0.5 + 1e-3, rtol=0)


def test_the_highest_pixels_are_hidden():
    logits = make_logits("normal", 3.0)
    mask = Binary(AreaBudget(0.25))(logits).bool()
    for row, hidden in zip(logits.flatten(0, 1), mask.flatten(0, 1), strict=True):
        assert row[hidden].min() > row[~hidden].max()


def test_a_binary_softmax_gives_each_pixel_to_the_mask_of_the_highest_score():
    logits = make_logits("normal", 3.0, masks=4)
    masks = Binary(Softmax())(logits)
    assert (masks.sum(dim=1) == 1).all()
    assert (masks.argmax(dim=1) == logits.argmax(dim=1)).all()


def test_a_binary_sigmoid_hides_what_has_a_positive_score():
    logits = make_logits("normal", 3.0)
    assert torch.equal(Binary(Sigmoid())(logits), (logits > 0).float())


@pytest.mark.parametrize("inner", INNER)
def test_the_gradient_is_that_of_the_soft_masks(inner):
    logits = make_logits("normal", 0.3)
    assert torch.equal(gradient(Binary(inner), logits), gradient(inner, logits))
    assert gradient(inner, logits).abs().max() > 0


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(INNER), st.sampled_from([0.1, 0.5, 0.9, 1.0]), scales, st.integers(0, 9), st.booleans())
def test_nothing_outside_the_room_is_hidden(inner, taken, scale, seed, outside):
    hidden = torch.zeros(3, 1, 12, 9).flatten(1)
    hidden[:, : round(taken * 108)] = 1
    hidden = hidden[:, torch.randperm(108, generator=torch.Generator().manual_seed(seed))].view(3, 1, 12, 9)
    projection = Binary(Disjoint(inner)) if outside else Disjoint(Binary(inner))
    logits = make_logits("normal", scale, seed=seed)
    masks = projection(logits, hidden)
    assert is_binary(masks)
    assert (masks * hidden).abs().max() == 0
    assert gradient(projection, logits, hidden).isfinite().all()
    if isinstance(inner, AreaBudget) and inner.low == inner.high:
        assert (pixels_of(masks) == min(round(0.3 * 108), 108 - round(taken * 108))).all()


def test_what_a_soft_mask_has_left_of_a_pixel_is_hidden():
    hidden = torch.full((3, 1, 12, 9), 0.25)
    masks = Disjoint(Binary(AreaBudget(0.3)))(make_logits("normal", 1.0), hidden)
    assert sorted(masks.unique().tolist()) == [0, 0.75]


@pytest.mark.parametrize("projection", [Binary(Disjoint(AreaBudget(0.25))), Disjoint(Binary(AreaBudget(0.25)))])
@pytest.mark.parametrize("drawn", [False, True])
def test_a_sequence_hides_three_disjoint_quarters_to_the_pixel(projection, drawn):
    masker = SequentialMasker(3, projection=projection)
    masks = masker.draw_one(torch.randn(6, 3, 32, 32)) if drawn else masker(torch.randn(6, 3, 32, 32))
    assert is_binary(masks)
    assert (pixels_of(masks) == 256).all()
    assert masks.sum(dim=1).max() == 1
    masks.mul(torch.rand(masks.shape)).sum().backward()
    assert masker.network.score.weight.grad.isfinite().all()
    assert masker.network.score.weight.grad.abs().max() > 0


def test_a_sequence_of_binary_masks_needs_room_as_well():
    with pytest.raises(ValueError, match="room for all of them"):
        SequentialMasker(5, projection=Binary(Disjoint(AreaBudget(0.25))))


def test_simultaneous_masks_can_be_binary():
    masks = SimultaneousMasker(4, projection=Binary(Softmax()))(torch.randn(2, 3, 32, 32))
    assert is_binary(masks)
    assert (masks.sum(dim=1) == 1).all()


def test_one_binary_mask_cannot_share_the_image_out_either():
    with pytest.raises(ValueError, match="two masks or more"):
        SimultaneousMasker(1, projection=Binary(Softmax()))


@pytest.mark.parametrize("inner", INNER)
def test_no_number_on_the_device_is_looked_at(inner):
    logits = torch.empty(3, 2, 12, 9, device="meta", requires_grad=True)
    masks = Disjoint(Binary(inner))(logits, torch.empty(3, 1, 12, 9, device="meta"))
    masks.sum().backward()
    assert logits.grad is not None
