import itertools
import math

import pytest
import torch

from amask_solo.constraints import (
    AreaTarget,
    Binariness,
    InverseSine,
    Overlap,
    PerMask,
    Smoothness,
    WeightedSum,
)


@pytest.fixture
def masks():
    return torch.rand(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))


def each(masks):
    """Yield the masks of one image after another as nested lists."""
    for image in masks.tolist():
        yield [[pixel for row in mask for pixel in row] for mask in image]


def test_inverse_sine_is_its_formula(masks):
    expected = [sum(1 / (math.sin(math.pi * sum(m) / len(m)) + 0.01) for m in image) for image in each(masks)]
    assert InverseSine(0.01)(masks).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_area_target_is_its_formula(masks):
    expected = [sum((sum(m) / len(m) - 0.3) ** 2 for m in image) for image in each(masks)]
    assert AreaTarget(0.3)(masks).item() == pytest.approx(sum(expected) / 3, rel=1e-4)


def test_overlap_is_its_formula(masks):
    products = [
        sum(a * b for a, b in zip(one, other, strict=True)) / len(one)
        for image in each(masks)
        for one, other in itertools.combinations(image, 2)
    ]
    assert Overlap()(masks).item() == pytest.approx(sum(products) / len(products), rel=1e-5)


def test_smoothness_is_its_formula(masks):
    expected = 0.0
    for mask in masks.flatten(0, 1):
        expected += (mask[1:] - mask[:-1]).abs().mean() + (mask[:, 1:] - mask[:, :-1]).abs().mean()
    assert Smoothness()(masks).item() == pytest.approx(float(expected) / 3, rel=1e-5)


def test_binariness_is_its_formula(masks):
    expected = [sum(sum(p * (1 - p) for p in m) / len(m) for m in image) for image in each(masks)]
    assert Binariness()(masks).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_sparsity_pushes_away_from_the_corners(dtype):
    for area, sign in ((0.0, -1), (1.0, 1)):
        masks = torch.full((2, 3, 8, 8), area, dtype=dtype, requires_grad=True)
        penalty = InverseSine()(masks)
        penalty.backward()
        assert penalty.item() == pytest.approx(3000, rel=1e-3)
        assert masks.grad.isfinite().all()
        assert (masks.grad.sign() == sign).all()


def test_full_masks_are_never_rewarded():
    full = [InverseSine(1e-6)(torch.ones(1, 1, side, side)) for side in (3, 32, 100)]
    assert min(full) > 1e5


def test_disjoint_binary_masks_cost_no_overlap_and_no_binariness():
    masks = torch.eye(4).reshape(1, 4, 2, 2)
    assert Overlap()(masks) == 0
    assert Binariness()(masks) == 0
    assert Overlap()(masks[:, :1]) == 0


def test_smoothness_does_not_grow_with_the_image():
    small = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    tiled = small.repeat(1, 1, 8, 8)
    assert Smoothness()(tiled).item() == pytest.approx(Smoothness()(small).item(), rel=0.15)


def test_a_weighted_sum_weighs_its_terms(masks):
    both = WeightedSum({"a": InverseSine(), "b": Overlap()}, {"b": 3.0})
    torch.testing.assert_close(both(masks), InverseSine()(masks) + 3 * Overlap()(masks))


def test_a_sum_of_sums_is_a_constraint(masks):
    nested = WeightedSum({"x": WeightedSum({"a": Overlap()}, {"a": 2.0})}, {"x": 0.5})
    torch.testing.assert_close(nested(masks), Overlap()(masks))


def test_the_empty_sum_is_the_identity(masks):
    assert WeightedSum()(masks) == 0
    torch.testing.assert_close(WeightedSum({"none": WeightedSum(), "a": Overlap()})(masks), Overlap()(masks))


def test_per_mask_asks_of_each_mask_something_else(masks):
    steps = PerMask([AreaTarget(0.1), WeightedSum(), InverseSine(), AreaTarget(0.9)])
    expected = AreaTarget(0.1)(masks[:, :1]) + InverseSine()(masks[:, 2:3]) + AreaTarget(0.9)(masks[:, 3:])
    torch.testing.assert_close(steps(masks), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InverseSine(0.0), "eps"),
        (lambda: InverseSine(math.nan), "eps"),
        (lambda: AreaTarget(1.0), "area"),
        (lambda: PerMask([]), "got none"),
        (lambda: WeightedSum({"overlap": Overlap()}, {"overlapp": 1.0}), "did you mean 'overlap'"),
        (lambda: WeightedSum({"overlap": Overlap()}, {"overlap": -1.0}), "0 or more"),
        (lambda: WeightedSum({"overlap": Overlap()}, {"overlap": math.nan}), "0 or more"),
        (lambda: WeightedSum({"type": Overlap()}), "cannot have this name.*type"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
