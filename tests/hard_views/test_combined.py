import numpy as np
import pytest
import torch

from amask_solo._types import WeightedViews
from amask_solo.hard_views import Beside, Box, Chain, CutMix
from amask_solo.maskers import NoMasks, RandomMasker, SequentialMasker


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(batch=4, size=16):
    first, second = torch.randn(2, batch, 3, size, size, generator=source())
    return WeightedViews((first, second), 1.0, side=1)


def similarity(views):
    scores = views[0].flatten(1) @ views[1].flatten(1).T
    return torch.nn.functional.cross_entropy(scores / 100, torch.arange(len(scores)))


def play(hard_view, entry=None, seed=1):
    return list(hard_view([entry or pair()], similarity, generator=source(seed)))


def test_a_mixed_image_shows_the_one_before_it_and_counts_for_both_by_what_shows_of_them():
    entry = pair()
    others, own = play(CutMix(RandomMasker(area=0.25)))
    changed = (own.views[1] != entry.views[1]).any(dim=1, keepdim=True)
    assert changed.float().mean() == pytest.approx(float(others.weight), abs=1e-6)
    assert float(own.weight + others.weight) == pytest.approx(1.0)
    torch.testing.assert_close(own.views[1], entry.views[1].roll(1, 0).where(changed, entry.views[1]))
    # The second entry has, beside each clean view, the mixed one with a part of the same image.
    assert torch.equal(others.views[1].roll(1, 0), own.views[1])


def test_to_move_the_mixed_views_is_to_move_the_clean_ones_and_all_that_goes_with_them():
    entry = pair()
    others, own = play(CutMix(RandomMasker(area=0.25)))
    moved = similarity((entry.views[0].roll(1, 0), own.views[1]))
    torch.testing.assert_close(similarity(others.views), moved)


def test_where_nothing_is_pasted_all_weight_is_on_the_views_as_they_are():
    others, own = play(CutMix(NoMasks()))
    assert torch.equal(own.views[1], pair().views[1])
    assert (float(own.weight), float(others.weight)) == (1.0, 0.0)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 8.0])
def test_boxes_have_the_areas_of_a_beta_distribution_less_what_is_cut_off(alpha):
    generator, box = source(), Box(alpha)
    masks = torch.cat([box(torch.zeros(1, 3, 64, 64), generator=generator) for _ in range(500)])
    numbers = np.random.default_rng(0)
    half = np.sqrt(1 - numbers.beta(alpha, alpha, 5000)) / 2
    centers = numbers.random((2, 5000))
    expected = np.prod(np.minimum(centers + half, 1) - np.maximum(centers - half, 0), axis=0)
    places = (0.2, 0.4, 0.6, 0.8)
    found = np.quantile(masks.mean(dim=(1, 2, 3)).numpy(), places)
    np.testing.assert_allclose(found, np.quantile(expected, places), atol=0.05)


def test_one_box_is_pasted_in_all_images_of_a_batch():
    masks = Box()(torch.zeros(3, 3, 32, 32), generator=source())
    assert torch.equal(masks[:1].expand(3, -1, -1, -1), masks)


@pytest.mark.parametrize("masker", [SequentialMasker(num_masks=1), RandomMasker(num_masks=2)])
def test_cutmix_takes_one_mask_that_nobody_learns(masker):
    with pytest.raises(ValueError, match="one mask"):
        CutMix(masker)


def test_a_chain_hands_every_entry_on():
    entries = play(Chain([CutMix(NoMasks()), Chain(), CutMix(RandomMasker())]))
    assert len(entries) == Chain([CutMix(NoMasks()), CutMix(NoMasks())]).num_entries == 4
    assert float(sum(made.weight for made in entries)) == pytest.approx(1.0)


def test_beside_one_another_each_counts_by_its_share_and_the_last_one_comes_last():
    entry = pair()
    parts = {"mixed": CutMix(NoMasks()), "unused": CutMix(RandomMasker()), "clean": Chain()}
    both = Beside(parts, {"mixed": 3.0, "unused": 0.0})
    made = play(both, entry)
    assert [float(one.weight) for one in made] == [0.0, 0.75, 0.25]
    assert both.num_entries == 3
    assert made[-1].views == entry.views


@pytest.mark.parametrize("weights", [{"other": 1.0}, {"clean": -1.0}, {"clean": 0.0}, {"clean": float("nan")}])
def test_weights_that_make_no_sum_are_refused(weights):
    with pytest.raises(ValueError, match="Expected weights"):
        Beside({"clean": Chain()}, weights)


@pytest.mark.parametrize("name", ["half", "all.clean"])
def test_a_part_has_a_name_that_a_module_does_not_need(name):
    with pytest.raises(ValueError, match="cannot have this name"):
        Beside({name: Chain()})


@pytest.mark.parametrize("alpha", [0.0, 1e-320, float("nan"), float("inf")])
def test_a_box_needs_a_positive_alpha(alpha):
    with pytest.raises(ValueError, match="alpha"):
        Box(alpha)


def test_boxes_of_the_lowest_alpha_are_very_small_or_very_large():
    quantiles = Box(0.01).quantiles
    assert quantiles.isfinite().all()
    assert ((quantiles < 0.01) | (quantiles > 0.99)).float().mean() > 0.9
