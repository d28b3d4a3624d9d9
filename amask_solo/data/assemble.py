"""From the parts of a data set to the one that a run sees: for choosing settings, or for confirming them."""

from collections.abc import Sequence
from typing import Any

import torch

from amask_solo.data.base import ImageData, ImageSet, resolve_statistics
from amask_solo.data.subsets import labeled_places, stratified_split


def assemble(
    train: ImageSet,
    val: ImageSet | None,
    *,
    tune_fraction: float,
    seed: int,
    mean: Sequence[float] | str,
    std: Sequence[float] | str,
    class_names: Sequence[str],
    **facts: Any,
) -> ImageData:
    """Return a data set whose statistics are those of the images that it trains on.

    Args:
        train: The training images, after ``max_images``.
        val: The validation or test images, which nobody sees while settings are chosen.
        tune_fraction: In [0, 1). Above 0, this share of each class of ``train`` is held out of it and takes the place
            of ``val``, the same for every run. Images without a label stay, if any has one.
        seed: Of that split: the data's, not the run's.
        mean: Channel means, or ``auto`` to measure them.
        std: Channel standard deviations, or ``auto`` to measure them.
        class_names: Names in the order of the class numbers; empty without labels.
        facts: ``image_size`` and ``name``.

    Raises:
        ValueError: If the fraction is outside [0, 1) or holds out no image, or a statistic is wrong.
    """
    if not 0 <= tune_fraction < 1:
        raise ValueError(f"Expected tune_fraction in [0, 1), but got {tune_fraction}.")
    if tune_fraction:
        labeled = labeled_places(train.labels)
        # Settings are chosen by accuracies, which need labels.
        choice = labeled if len(labeled) else torch.arange(len(train))
        _, held_out = stratified_split(train.labels[choice], tune_fraction, seed=seed)
        if not len(held_out):
            raise ValueError(f"tune_fraction={tune_fraction} of {len(choice)} training images is not one image.")
        rest = torch.ones(len(train), dtype=torch.bool).index_fill(0, choice[held_out], False)
        train, val = train.select(rest.nonzero()[:, 0]), train.select(choice[held_out])
    mean, std = resolve_statistics(train, mean=mean, std=std)
    names = list(class_names)
    return ImageData(train, val, max(1, len(names)), names, mean, std, **facts)
