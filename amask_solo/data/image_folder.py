"""Any folder of images, with or without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from amask_solo.data.base import ImageData
from amask_solo.data.file_images import Files, load_files
from amask_solo.data.folder_tree import FolderTree, scan_folder
from amask_solo.data.reading import Ranges
from amask_solo.errors import UserError
from amask_solo.files import expanded

LISTS = Path(__file__).parent / "lists"
"""Facts about published data sets: their classes."""

FOLDERS = ("train_path", "val_path", "root")


def load_image_folder(
    *,
    train_path: str | None = None,
    image_size: int | Literal["auto"] = "auto",
    val_path: str | None = None,
    root: str | None = None,
    classes: str | None = None,
    val_fraction: float = 0.1,
    labels: Literal["auto", "none"] = "auto",
    load_size: int | None = None,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    on_error: Literal["raise", "skip"] = "raise",
    seed: int = 0,
    mean: Sequence[float] | str = "auto",
    std: Sequence[float] | str = "auto",
    value_range: Ranges | Sequence[int | float] | str | None = None,
    bands: Sequence[int] | None = None,
    channels: Literal["rgb", "keep"] | None = None,
    name: str | None = None,
) -> ImageData:
    """Take the images below a folder, at any depth.

    Args:
        train_path: The folder to learn from, unless ``root`` is given.
        image_size: Height and width of the views, or ``auto``: the median of the shorter sides of the files, at most
            224; see :func:`~amask_solo.data.sizes.resolve_image_size`.
        val_path: The folder to validate on; its classes are some of the training folder's.
        root: A folder with ``train`` and ``val``, as ImageNet's, in place of the two paths.
        classes: Which sub-folders of these to take: ``imagenet100``, or a text file of their names; by default all.
        val_fraction: Without ``val_path``, this share of each class is held out, in [0, 1); 0, or no labels, holds out
            nothing.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, and no image may lie beside them;
            ``none`` takes no labels.
        load_size: Height and width of the stored images, from which random crops are cut. By default 8/7 of
            ``image_size``, the usual 256 for 224, or ``image_size`` where the files have it already.
        max_images: The most images to keep of each split, at least 1: a random subset with equal classes.
        tune_fraction: Above 0, validate on this share of each class of the training images, and train on the others:
            for choosing settings, while nobody looks at the validation images.
        on_error: What an unreadable file does. ``raise`` stops when it is read; ``skip`` reads every file once at the
            start, leaves out the bad ones and names them in one warning.
        seed: Of the subset and of the splits.
        mean: Channel means, or ``auto`` to measure them.
        std: Channel standard deviations, or ``auto`` to measure them.
        value_range: The values of the files that are black and white; ``auto`` or ``None`` measures the lowest and the
            highest one over a sample of the training images, for files that are deeper than 8 bits. Ranges by the kind
            of numbers, as :attr:`ImageData.reading` has them, are for files of that kind, and others are measured.
        bands: Which bands of the files to take, from 1: three, or one for gray; any number with ``channels=keep``.
        channels: ``rgb``, or ``keep`` for as many channels as the files have, for a backbone that takes them.
        name: What the set is called in summaries; by default as its folder, or as the one around ``train``.

    Raises:
        UserError: If a folder is missing or empty, or a file cannot be read.
        ValueError: If a setting is out of range.
    """
    keys = {"train": "data.train_path", "val": "data.val_path"}
    if root is not None:
        train_path, val_path, keys = f"{root}/train", f"{root}/val", dict.fromkeys(keys, "data.root")
    if train_path is None:
        raise UserError("Expected data.root=DIR, a folder with train and val in it, or data.train_path=DIR.")
    # Folders that somebody has sorted out have the classes that they have.
    only = read_classes(classes) if root is not None and classes else None
    folders = {"train": scan_folder(train_path, labels=labels, key=keys["train"], only=only)}
    class_names = folders["train"].class_names
    if val_path is not None:
        folders["val"] = scan_folder(val_path, labels=labels, key=keys["val"], among=class_names, only=only)
    _check_agreement(folders)
    return load_files(
        {split: Files(tree.files, tree.labels(class_names), tree.root) for split, tree in folders.items()},
        class_names,
        image_size=image_size,
        name=name or _name(expanded(train_path).resolve()),
        load_size=load_size,
        val_fraction=val_fraction,
        max_images=max_images,
        tune_fraction=tune_fraction,
        on_error=on_error,
        seed=seed,
        mean=mean,
        std=std,
        value_range=value_range,
        bands=bands,
        channels=channels,
    )


def read_classes(classes: str) -> list[str]:
    """Return the names in a text file, or in a published list of this package; what follows a # is not read.

    Raises:
        UserError: If there is no such list.
    """
    file = expanded(classes)
    published = LISTS / f"{classes}.txt"
    if not file.is_file() and not published.is_file():
        known = ", ".join(sorted(file.stem for file in LISTS.glob("imagenet???.txt")))
        raise UserError(f"Expected data.classes to be a text file or {known}, but got {classes!r}.")
    lines = (file if file.is_file() else published).read_text().splitlines()
    return [name for line in lines for name in line.partition("#")[0].split()]


def _name(folder: Path) -> str:
    # `train` says nothing about whose training images they are.
    return folder.parent.name if folder.name == "train" else folder.name


def _check_agreement(folders: dict[str, FolderTree]) -> None:
    """Refuse a validation folder without classes or with others than the training folder."""
    train, val = folders["train"], folders.get("val")
    if val is None or not train.class_names:
        return
    if not val.class_names:
        raise UserError(
            f"Expected a sub-folder for each class in data.val_path={val.root}, as in the training "
            "folder; sort its images into them, or set data.labels=none."
        )
    val.labels(train.class_names)
