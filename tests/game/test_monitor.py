import math

import pytest
import torch

from amask_solo.game.monitor import EMPTY, FULL, diagnose, mask_statistics


def blocks(batch: int = 8, masks: int = 4, size: int = 16, side: int = 8) -> torch.Tensor:
    """Healthy masks: square blocks, each at its own place in each image."""
    draw = torch.Generator().manual_seed(0)
    out = torch.zeros(batch, masks, size, size)
    for mask in out.view(-1, size, size):
        top, left = torch.randint(size - side + 1, (2,), generator=draw).tolist()
        mask[top : top + side, left : left + side] = 1
    return out


def kinds(masks: torch.Tensor) -> list[str]:
    return [finding.kind for finding in diagnose(mask_statistics(masks))]


@pytest.mark.parametrize("masks", [1, 2, 4])
@pytest.mark.parametrize("side", [2, 8, 14])
def test_healthy_masks_raise_no_finding(masks, side):
    assert kinds(blocks(masks=masks, side=side)) == []


def test_soft_healthy_masks_raise_no_finding():
    logits = 3 * torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    assert kinds(logits.softmax(dim=1)) == []


def test_an_empty_mask_is_named_by_its_number():
    masks = blocks()
    masks[:, 2] = EMPTY / 2
    (finding,) = diagnose(mask_statistics(masks))
    assert finding.kind == "empty"
    assert "3 (0.5%) of 4" in str(finding)


def test_a_full_mask_is_named():
    masks = blocks()
    masks[:, 0] = (1 + FULL) / 2
    assert kinds(masks) == ["full"]


def test_one_mask_for_all_images_is_named():
    assert kinds(blocks()[:1].expand(8, -1, -1, -1)) == ["same"]


def test_two_identical_masks_are_named_though_others_differ():
    masks = blocks()
    masks[:, 3] = masks[:, 1]
    assert kinds(masks) == ["identical"]


def test_soft_masks_that_are_identical_are_named():
    soft = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert kinds(soft.expand(-1, 3, -1, -1)) == ["identical"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_broken_pixel_is_named(value):
    masks = blocks()
    masks[3, 1, 5, 5] = value
    assert kinds(masks) == ["nan"]


@pytest.mark.parametrize(("value", "kind"), [(0.0, "empty"), (1.0, "full")])
def test_masks_that_all_fail_alike_give_one_finding(value, kind):
    assert kinds(torch.full((8, 4, 16, 16), value)) == [kind]


def test_every_finding_says_cause_and_remedy():
    masks = blocks()[:1].repeat(8, 1, 1, 1)
    masks[:, 0], masks[:, 1], masks[:, 3] = 0, 1, masks[:, 2]
    findings = diagnose(mask_statistics(masks))
    assert [finding.kind for finding in findings] == ["empty", "full", "same", "identical"]
    assert all("Likely cause: " in str(finding) and "Try: " in str(finding) for finding in findings)


def test_a_single_mask_has_no_pairs_and_a_single_image_no_spread():
    statistics = mask_statistics(blocks(batch=1, masks=1))
    assert not {"overlap", "similarity", "diversity"} & statistics.keys()
    assert kinds(blocks(batch=1, masks=1)) == []


def test_statistics_agree_with_plain_loops():
    masks = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    overlap, similarity, entropy = [], [], []
    for image in masks.tolist():
        flat = [[p for row in mask for p in row] for mask in image]
        best = 0.0
        for i in range(3):
            entropy += [-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in flat[i]]
            for j in range(i):
                pairs = list(zip(flat[i], flat[j], strict=True))
                overlap.append(sum(a * b for a, b in pairs) / 30)
                best = max(best, sum(map(min, pairs)) / sum(map(max, pairs)))
        similarity.append(best)
    spread = [math.sqrt(sum((p - sum(column) / 3) ** 2 for p in column) / 3) for column in masks.flatten(1).T.tolist()]
    statistics = {name: value.item() for name, value in mask_statistics(masks).items()}
    expected = {
        "overlap": overlap,
        "similarity": similarity,
        "entropy": entropy,
        "diversity": spread,
    }
    for name, values in expected.items():
        assert statistics[name] == pytest.approx(sum(values) / len(values), rel=1e-4), name
    assert statistics["area_2"] == pytest.approx(masks[:, 1].mean().item(), rel=1e-5)
    assert statistics["area_max"] == pytest.approx(masks.mean(dim=(2, 3)).max().item(), rel=1e-5)


def test_binary_and_undecided_masks_are_the_ends_of_the_entropy():
    assert mask_statistics(blocks())["entropy"] == 0
    assert mask_statistics(torch.full((2, 1, 4, 4), 0.5))["entropy"] == pytest.approx(1)


@pytest.mark.parametrize("rounding", [-1e-6, 1 + 1e-6])
def test_rounding_beyond_the_ends_leaves_the_entropy_at_zero(rounding):
    assert mask_statistics(torch.full((2, 1, 4, 4), rounding))["entropy"] == 0


def test_half_precision_and_rounding_beyond_one_stay_finite():
    masks = blocks().bfloat16() * 1.01
    assert all(value.isfinite() for value in mask_statistics(masks).values())
    assert all(value.dtype == torch.float32 for value in mask_statistics(masks).values())
