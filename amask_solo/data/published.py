"""Published data sets, in the layout in which they are published."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from amask_solo.data.base import ImageData, Metric
from amask_solo.data.file_images import Files, FolderImages, choose, drop_unreadable, load_files
from amask_solo.data.listings import list_split
from amask_solo.data.subsets import first_of_each
from amask_solo.errors import UserError
from amask_solo.files import check_holds, expanded

Split = Mapping[str, Any]
"""What chooses a split: arguments of the class that reads its lists, and a ``folder`` below the root."""


def load_published(
    *,
    kind: str,
    root: str,
    train: Split | Sequence[Split],
    name: str,
    holds: Sequence[str],
    val: Split | None = None,
    variants: Mapping[str, Split] | None = None,
    gaps: Mapping[str, Sequence[str]] | None = None,
    train_per_class: int | None = None,
    val_fraction: float = 0.2,
    source: str | None = None,
    download: bool | None = None,
    metric: Metric = "accuracy",
    image_size: int | Literal["auto"] = 224,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    on_error: Literal["raise", "skip"] = "raise",
    seed: int = 0,
    **files: Any,
) -> ImageData:
    """Take a published data set from the files that its archives unpack to.

    Args:
        kind: Who reads the lists: the name of a class in ``torchvision.datasets`` that says in which files its images
            are, or ``coco`` or ``tiny_imagenet``; see :mod:`amask_solo.data.listings`.
        root: The folder that holds the set.
        train: The split to learn from, or several.
        name: What it is called in summaries.
        holds: Paths below ``root`` without which nothing can be read, for the error that says so.
        val: The split to score on. Without one, images are held out of ``train``.
        variants: Other versions of the images to score on, by name: splits with the same classes.
        gaps: Name -> two variants, the difference of whose accuracies is scored too.
        train_per_class: Without ``val``, learn from so many random images of each class and score on the others.
        val_fraction: Without either, this share of each class is held out.
        source: Where to get the set.
        download: Whether torchvision gets it, if it is missing; ``None`` if it cannot.
        metric: What its papers score: ``accuracy``, or ``mean_per_class``, the mean of the accuracies of the classes.
        image_size: Height and width of the views.
        max_images: The most images to keep of each split.
        tune_fraction: See :func:`~amask_solo.data.assemble.assemble`; nobody looks at variants then.
        on_error: As in :func:`~amask_solo.data.file_images.load_files`.
        seed: Of the subset and of the splits.
        files: Settings of :func:`~amask_solo.data.file_images.load_files`, for images of 8 bits.

    Raises:
        UserError: If the set is not there, in one line that names what is expected where.
        ValueError: If a setting is out of range.
    """
    folder = expanded(root)
    if not download:
        check_holds(name, folder, holds, source=source, can_download=download is not None)
    splits = [train] if isinstance(train, Mapping) else list(train)
    named = {f"train {number}": split for number, split in enumerate(splits)}
    names, found = list_splits(kind, folder, named, download=bool(download))
    parts = {"train": Files.joined([*found.values()])}
    if val is not None:
        parts |= list_splits(kind, folder, {"val": val}, names)[1]
    elif train_per_class is not None:
        picks = first_of_each(parts["train"].labels, train_per_class, seed=seed)
        parts = {split: parts["train"].select(part) for split, part in zip(("train", "val"), picks, strict=True)}
    data = load_files(
        parts,
        names,
        image_size=image_size,
        name=name,
        val_fraction=val_fraction,
        max_images=max_images,
        tune_fraction=tune_fraction,
        on_error=on_error,
        seed=seed,
        value_range=None,
        bands=None,
        channels=None,
        **files,
    )
    data = replace(data, metric=metric)
    if not variants or tune_fraction:
        return data
    others = list_splits(kind, folder, variants, names)[1]
    return add_variants(data, others, gaps or {}, max_images=max_images, on_error=on_error, seed=seed)


def list_splits(
    kind: str, folder: Path, splits: Mapping[str, Split], names: Sequence[str] | None = None, *, download: bool = False
) -> tuple[list[str], dict[str, Files]]:
    """Return the names of the classes, those given or of the first split, and the files of each split.

    Raises:
        UserError: If a split is missing or has other classes.
    """
    found = {}
    for name, split in splits.items():
        found[name], own = list_split(kind, folder, split, download=download)
        names = names or own
        if own != list(names):
            raise UserError(
                f"Expected {dict(split)} of {folder} to have the {len(names)} classes of the other splits, but it has "
                f"{len(own)}, or others; is it complete?"
            )
    return list(names or ()), found


def add_variants(
    data: ImageData,
    others: Mapping[str, Files],
    gaps: Mapping[str, Sequence[str]],
    *,
    max_images: int | None,
    seed: int,
    on_error: Literal["raise", "skip"] = "raise",
    **classes: Any,
) -> ImageData:
    """Return a data set that is scored on other images as well, which are read as its own.

    They have its attributes but for those in ``classes``. A gap is a name and two variants.

    Raises:
        ValueError: If a gap is not between two variants.
    """
    if on_error == "skip":
        others = {name: drop_unreadable(files) for name, files in others.items()}
    chosen = {name: choose(files, max_images, seed=seed) for name, files in others.items()}
    made = {
        name: replace(data, val=FolderImages(*files, size=data.train.size), **classes) for name, files in chosen.items()
    }
    for name, pair in gaps.items():
        if len(pair) != 2 or not set(pair) <= set(made):
            raise ValueError(f"Expected gaps.{name} to be two of {', '.join(made)}, but got {[*pair]}.")
    return replace(data, variants=made, gaps={name: (pair[0], pair[1]) for name, pair in gaps.items()})
