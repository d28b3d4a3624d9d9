"""Seeded choices of items that respect the classes."""

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from amask_solo.data.base import UNLABELED, Labels

Picks = Int64[Tensor, " _"]
"""Indexes of items, in rising order."""


def balanced_subset(labels: Labels, count: int | None, *, seed: int) -> Picks:
    """Choose ``count`` items with numbers of each class that are as equal as possible; None chooses all.

    Unlabeled items (-1) count as one class. Chance decides which classes have one item more, the same for sets of any
    length, so that with fewer items than classes training and validation have the same ones.

    Raises:
        ValueError: If ``count`` is not positive.

    Example:
        >>> labels = torch.tensor([0] * 90 + [1] * 10)
        >>> labels[balanced_subset(labels, 12, seed=0)].bincount()
        tensor([6, 6])
    """
    if count is None:
        return torch.arange(len(labels))
    if count < 1:
        raise ValueError(f"Expected max_images to be positive or null, but got {count}.")
    rank, _ = _ranks_within_classes(labels, seed)
    return _rising(rank, _by_class(labels, seed))[:count].sort().values


def labeled_places(labels: Labels) -> Picks:
    """Return where the images that have a label are."""
    return (labels > UNLABELED).nonzero()[:, 0]


def stratified_split(labels: Labels, fraction: float, *, seed: int) -> tuple[Picks, Picks]:
    """Split items into two parts with the same shares of each class; ``fraction``, in [0, 1), is in the second one.

    Where the shares are no whole items, chance decides which classes give one more.

    Raises:
        ValueError: If ``fraction`` is outside [0, 1).

    Example:
        >>> labels = torch.tensor([0] * 80 + [1] * 20)
        >>> _, second = stratified_split(labels, 0.1, seed=0)
        >>> labels[second].bincount()
        tensor([8, 2])
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"Expected val_fraction in [0, 1), but got {fraction}.")
    rank, class_size = _ranks_within_classes(labels, seed)
    order = _rising((rank + 0.5) / class_size, _shuffle(len(labels), seed))
    cut = int(len(labels) * fraction)
    return order[cut:].sort().values, order[:cut].sort().values


def first_of_each(labels: Labels, count: int, *, seed: int) -> tuple[Picks, Picks]:
    """Split items into ``count`` random ones of each class, or all if there are fewer, and the others.

    Raises:
        ValueError: If ``count`` is not positive.

    Example:
        >>> labels = torch.tensor([0] * 9 + [1] * 5 + [2] * 2)
        >>> first, second = first_of_each(labels, 3, seed=0)
        >>> labels[first].bincount(), labels[second].bincount()
        (tensor([3, 3, 2]), tensor([6, 2]))
    """
    if count < 1:
        raise ValueError(f"Expected at least one image of each class, but got {count}.")
    rank, _ = _ranks_within_classes(labels, seed)
    return (rank < count).nonzero()[:, 0], (rank >= count).nonzero()[:, 0]


def _ranks_within_classes(labels: Labels, seed: int) -> tuple[Labels, Labels]:
    """Return each item's place in a shuffle of its own class, and how large that class is."""
    shuffle = _shuffle(len(labels), seed)
    _, classes, sizes = labels.unique(return_inverse=True, return_counts=True)
    grouped = shuffle[classes[shuffle].argsort(stable=True)]
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    rank = torch.empty_like(labels)
    rank[grouped] = torch.arange(len(labels)) - starts
    return rank, sizes[classes]


def _rising(keys: Shaped[Tensor, " n"], order: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return the indexes of the items by rising keys, those with equal keys in a given order."""
    return order[keys[order].argsort(stable=True)]


def _shuffle(count: int, seed: int) -> Int64[Tensor, " n"]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _by_class(labels: Labels, seed: int) -> Int64[Tensor, " n"]:
    """Return the indexes of the items by a number of their class, which the seed draws for each in their order."""
    count = int(labels.max()) - UNLABELED + 1 if len(labels) else 0
    drawn = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn[labels - UNLABELED].argsort(stable=True)
