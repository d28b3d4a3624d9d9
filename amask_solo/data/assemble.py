"""From the parts of a data set to the one that a run sees: for choosing settings, or for confirming them."""

from collections.abc import Sequence

from amask_solo.data.base import ImageData, ImageSet, resolve_statistics
from amask_solo.data.hold_out import hold_out
from amask_solo.data.reading import USUAL, Reading


def assemble(
    train: ImageSet,
    val: ImageSet | None,
    class_names: Sequence[str],
    reading: Reading = USUAL,
    /,
    *,
    name: str,
    image_size: int,
    tune_fraction: float = 0.0,
    seed: int = 0,
    mean: Sequence[float] | str = "auto",
    std: Sequence[float] | str = "auto",
) -> ImageData:
    """Return a data set of images to train and to validate on. Its settings are those of each loader of images.

    Args:
        train: The training images, after ``max_images``.
        val: The validation or test images, or None.
        class_names: Names in the order of the class numbers; empty without labels.
        reading: How the files were read.
        name: What the set is called in summaries.
        image_size: Height and width of the views.
        tune_fraction: Above 0, validate on this share of each class of the training images, the same for every run, and
            train on the others: for choosing settings, while nobody looks at the validation images. If any image has a
            label, those without one are trained on; see :func:`~amask_solo.data.hold_out.hold_out`.
        seed: Of that split: the data's, not the run's.
        mean: Channel means, or ``auto`` to measure those of the images that are trained on.
        std: Channel standard deviations, or ``auto`` to measure them.

    Raises:
        ValueError: If a statistic is wrong, or ``tune_fraction`` is outside [0, 1) or holds out no image.
    """
    if not 0 <= tune_fraction < 1:
        raise ValueError(f"Expected tune_fraction in [0, 1), but got {tune_fraction}.")
    if tune_fraction:
        train, val = _tuning_split(train, tune_fraction, seed)
    mean, std = resolve_statistics(train, mean=mean, std=std)
    names = list(class_names)
    return ImageData(
        train,
        val,
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


def _tuning_split(train: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    rest, held_out = hold_out(train.labels, fraction, seed=seed, files=train.files)
    if not len(held_out):
        raise ValueError(f"tune_fraction={fraction} of {len(train)} training images is not one image with a label.")
    return train.select(rest), train.select(held_out)
