from hashlib import sha256

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amask_solo.data.subsets import balanced_subset, stratified_split

labels_of = st.lists(st.integers(-1, 4), min_size=1, max_size=60).map(torch.tensor)


@given(labels=labels_of, count=st.integers(1, 80), seed=st.integers(0, 99))
def test_a_subset_is_as_balanced_as_the_classes_allow(labels, count, seed):
    picks = balanced_subset(labels, count, seed=seed)
    assert len(picks) == min(count, len(labels))
    assert picks.tolist() == sorted(set(picks.tolist()))
    have, taken = (dict(zip(*(x.tolist() for x in t.unique(return_counts=True)), strict=True))
                   for t in (labels, labels[picks]))  # fmt: skip
    most = max(taken.values())
    for name, available in have.items():
        assert taken.get(name, 0) >= min(available, most - 1)


@given(labels=labels_of, fraction=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_a_split_is_a_partition_with_the_same_shares(labels, fraction, seed):
    first, second = stratified_split(labels, fraction, seed=seed)
    assert len(first) >= 1
    assert sorted(first.tolist() + second.tolist()) == list(range(len(labels)))
    for name in labels.unique():
        size = int((labels == name).sum())
        assert abs(int((labels[second] == name).sum()) - size * fraction) <= 2


def test_the_seed_decides_and_the_whole_set_is_in_order():
    labels = torch.arange(100) % 4
    assert torch.equal(balanced_subset(labels, 20, seed=1), balanced_subset(labels, 20, seed=1))
    assert not torch.equal(balanced_subset(labels, 20, seed=1), balanced_subset(labels, 20, seed=2))
    assert torch.equal(balanced_subset(labels, None, seed=1), torch.arange(100))


def digest(picks):
    return sha256(str(picks.tolist()).encode()).hexdigest()[:16]


def test_whole_ranks_of_equal_classes_stay_what_they_were():
    """Splits of published sets are part of their results."""
    labels = torch.arange(10_000) % 10
    assert digest(stratified_split(labels, 0.1, seed=0)[1]) == "f4f3a003d8b6a957"
    assert digest(stratified_split(labels.sort().values, 0.1, seed=3)[1]) == "ae52ba3f1aaad354"
    assert digest(balanced_subset(labels, 500, seed=0)) == "7ef176fd64bbf572"


@pytest.mark.parametrize("sizes", [[4] * 50, [4] * 40 + [8] * 10])
def test_every_class_is_held_out_for_some_seed(sizes):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    held_out = sum(labels[stratified_split(labels, 0.2, seed=seed)[1]].bincount(minlength=50) for seed in range(20))
    assert held_out.min() > 0


def test_every_class_has_one_item_more_for_some_seed():
    labels = torch.arange(50).repeat_interleave(4)
    taken = sum(labels[balanced_subset(labels, 60, seed=seed)].bincount(minlength=50) for seed in range(40))
    assert taken.min() > 40
    assert taken.max() < 80


@pytest.mark.parametrize("seed", range(5))
def test_with_fewer_items_than_classes_splits_of_any_length_have_the_same_classes(seed):
    kinds = [torch.arange(classes).repeat(each) for classes, each in ((50, 20), (50, 3), (48, 2))]
    first, second, without_the_last = (
        labels[balanced_subset(labels, 10, seed=seed)].unique().tolist() for labels in kinds
    )
    assert len(first) == 10
    assert first == second
    assert {*first} - {48, 49} <= {*without_the_last}


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="max_images"):
        balanced_subset(torch.zeros(3, dtype=torch.long), 0, seed=0)
    with pytest.raises(ValueError, match="val_fraction"):
        stratified_split(torch.zeros(3, dtype=torch.long), 1.0, seed=0)
