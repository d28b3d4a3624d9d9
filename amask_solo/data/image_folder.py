"""Any folder of images, with or without labels."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from amask_solo.data.assemble import assemble, tuning_split
from amask_solo.data.base import ImageData, ImageSet, Labels, Pixels
from amask_solo.data.contrast import warn_if_flat
from amask_solo.data.decode import decode_all, decode_image, map_files, readable
from amask_solo.data.folder_tree import FolderTree, scan_folder
from amask_solo.data.reading import USUAL, Ranges, Reading, make_reading
from amask_solo.data.sizes import check_image_size, resolve_image_size, sampled_sizes
from amask_solo.data.subsets import Picks, balanced_subset, stratified_split
from amask_solo.errors import UserError
from amask_solo.files import expanded

FOLDERS = ("train_path", "val_path")


class FolderImages(ImageSet):
    """Image files that are decoded when they are asked for.

    Args:
        files: The files.
        labels: Their class numbers.
        size: Height and width to decode them to.
        reading: What becomes of bands and values.
        root: A folder around the files, below which they have their names.
    """

    def __init__(
        self, files: Sequence[Path], labels: Labels, *, size: int, reading: Reading = USUAL, root: Path = Path("/")
    ) -> None:
        self.files, self.labels, self.size = list(files), labels, size
        self.reading, self.root, self.channels = reading, root, reading.channels or 3

    @property
    def names(self) -> list[str]:  # type: ignore[override]
        """The paths of the files below their folder."""
        return [str(file).removeprefix(f"{self.root}/") for file in self.files]

    def image(self, index: int) -> UInt8[Tensor, "c s s"]:
        """Decode one image."""
        return decode_image(self.files[index], size=self.size, reading=self.reading)

    def stack(self) -> Pixels:
        """Decode all images, in parallel."""
        return decode_all(self.files, size=self.size, reading=self.reading)

    def select(self, picks: Picks) -> "FolderImages":
        """Return some of the images, in the order of the picks."""
        files, labels = [self.files[pick] for pick in picks.tolist()], self.labels[picks]
        return FolderImages(files, labels, size=self.size, reading=self.reading, root=self.root)


def load_image_folder(
    *,
    train_path: str,
    image_size: int | Literal["auto"] = "auto",
    val_path: str | None = None,
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
        train_path: The folder to learn from.
        image_size: Height and width of the views, or ``auto``: the median of the shorter sides of the files, at most
            224; see :func:`~amask_solo.data.sizes.resolve_image_size`.
        val_path: The folder to validate on; its classes are some of the training folder's.
        val_fraction: Without ``val_path``, this share of each class is held out; 0, or no labels, holds out nothing.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, and no image may lie beside them;
            ``none`` takes no labels.
        load_size: Height and width of the stored images, from which random crops are cut. By default 8/7 of
            ``image_size``, the usual 256 for 224, or ``image_size`` where the files have it already.
        max_images: The most images to keep of each split: a random subset with equal classes.
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
    check_image_size(image_size)
    if load_size is not None and load_size < 1:
        raise ValueError(f"Expected load_size to be at least 1, but got {load_size}.")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected on_error to be 'raise' or 'skip', but got {on_error!r}.")
    folders = {"train": scan_folder(train_path, labels=labels, key="data.train_path")}
    if val_path is not None:
        among = folders["train"].class_names
        folders["val"] = scan_folder(val_path, labels=labels, key="data.val_path", among=among)
    class_names = folders["train"].class_names
    _check_agreement(folders)
    for split, tree in folders.items():
        kept = _drop_unreadable(tree) if on_error == "skip" else tree
        folders[split] = kept.select(balanced_subset(kept.labels(class_names), max_images, seed=seed))
    if val_path is None and class_names:
        tree = folders["train"]
        picks = stratified_split(tree.labels(class_names), val_fraction, seed=seed)
        folders = {split: tree.select(part) for split, part in zip(("train", "val"), picks, strict=True)}
    image_size = resolve_image_size(image_size, folders["train"].files)
    size = load_size or _guess_load_size(folders["train"].files, image_size)
    reading = make_reading(folders["train"].files, value_range=value_range, bands=bands, channels=channels)
    sets = {
        split: FolderImages(tree.files, tree.labels(class_names), size=size, reading=reading, root=tree.root)
        for split, tree in folders.items()
        if tree.files
    }
    warn_if_flat(sets["train"], folders["train"].files, reading)
    parts = tuning_split(sets["train"], sets.get("val"), tune_fraction, seed=seed)
    name = name or _name(expanded(train_path).resolve())
    return assemble(parts, class_names, mean=mean, std=std, image_size=image_size, name=name, reading=reading)


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


def _drop_unreadable(tree: FolderTree) -> FolderTree:
    good = torch.tensor(list(map_files(readable, tree.files, what="Checking images")))
    bad = [str(tree.files[place]) for place in (~good).nonzero()[:, 0].tolist()]
    if not good.any():
        raise UserError(f"None of the {len(bad)} images below '{tree.root}' can be read; check the files.")
    if bad:
        listed = ", ".join(bad[:10]) + (f" and {len(bad) - 10} more" if len(bad) > 10 else "")
        warnings.warn(f"Skipped {len(bad)} unreadable of {len(tree.files)} images: {listed}.", stacklevel=4)
    return tree.select(good.nonzero()[:, 0])


def _guess_load_size(files: Sequence[Path], image_size: int) -> int:
    """Return 8/7 of the image size, or the size itself if a sample of the files has it."""
    if all(size == (image_size, image_size) for size in sampled_sizes(files)):
        return image_size
    return round(image_size * 256 / 224)
