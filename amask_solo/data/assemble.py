"""From the parts of a data set to the one that a run sees: for choosing settings, or for confirming them."""

from collections.abc import Sequence

import torch

from amask_solo.data.base import ImageData, ImageSet, resolve_statistics
from amask_solo.data.reading import USUAL, Reading
from amask_solo.data.subsets import labeled_places, stratified_split


def tuning_split(
    train: ImageSet, val: ImageSet | None, fraction: float, *, seed: int
) -> tuple[ImageSet, ImageSet | None]:
    """Return the parts to train and to score on while settings are chosen; the given ones if no share is held out.

    Args:
        train: The training images, after ``max_images``.
        val: The validation or test images, which nobody sees while settings are chosen.
        fraction: In [0, 1). Above 0, this share of each class of ``train`` is held out and takes the place of ``val``,
            the same for every run. If any image has a label, those without one stay in ``train``.
        seed: Of the split: the data's, not the run's.

    Raises:
        ValueError: If the fraction is outside [0, 1) or holds out no image.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"Expected tune_fraction in [0, 1), but got {fraction}.")
    if not fraction:
        return train, val
    labeled = labeled_places(train.labels)
    # Settings are chosen by accuracies, which need labels.
    choice = labeled if len(labeled) else torch.arange(len(train))
    _, held_out = stratified_split(train.labels[choice], fraction, seed=seed)
    if not len(held_out):
        raise ValueError(f"tune_fraction={fraction} of {len(choice)} training images is not one image.")
    rest = torch.ones(len(train), dtype=torch.bool).index_fill(0, choice[held_out], False)
    return train.select(rest.nonzero()[:, 0]), train.select(choice[held_out])


def assemble(
    parts: tuple[ImageSet, ImageSet | None],
    class_names: Sequence[str],
    *,
    mean: Sequence[float] | str,
    std: Sequence[float] | str,
    image_size: int,
    name: str,
    reading: Reading = USUAL,
) -> ImageData:
    """Return a data set of parts to train and to validate on; see :class:`~amask_solo.data.ImageData`.

    A mean or standard deviation that is ``auto`` is that of the images that it trains on.

    Raises:
        ValueError: If a statistic is wrong.
    """
    mean, std = resolve_statistics(parts[0], mean=mean, std=std)
    names = list(class_names)
    return ImageData(
        *parts,
        max(1, len(names)),
        names,
        mean,
        std,
        image_size,
        name,
        value_range=reading.value_range,
        numbers=None if reading.value_range is None else reading.numbers,
        bands=reading.bands,
    )
