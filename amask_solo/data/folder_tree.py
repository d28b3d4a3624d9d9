"""A folder tree as a list of image files and their classes."""

import os
import re
import warnings
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from amask_solo.data.base import UNLABELED
from amask_solo.data.file_images import Files
from amask_solo.data.opening import image_suffixes
from amask_solo.errors import UserError, some
from amask_solo.files import check_image_folder

_SPLIT = re.compile(r"(train|training|val|valid|validation|test)([-_]?\d+)?", re.IGNORECASE)
"""What a folder of a split is called; COCO's have the year."""

_PICTURES = {"image", "images", "img", "imgs", "jpegimages"}
_MASKS = {"mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "gt"}

_NOTES = {".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py", ".tsv", ".txt", ".xml", ".yaml"}
"""Endings of files that lie beside images without being any."""


def scan_folder(
    root: str | Path,
    *,
    labels: Literal["auto", "none"],
    key: str,
    among: Sequence[str] | None = None,
    only: Collection[str] | None = None,
) -> tuple[Files, list[str]]:
    """Return the images below a folder, at any depth, and the names of their classes; none without labels.

    The images are in the order of their names, so that an index means the same file on every machine.

    Links are followed, but each real folder is read once, so a link to a parent does no harm. Hidden files and folders
    are passed over. One warning counts the files whose endings Pillow does not read.

    Args:
        root: The folder.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, or those of the only sub-folder,
            with a warning; ``none`` takes no labels.
        key: The setting that named the folder, for error messages.
        among: The classes of the training images, which number those of validation images.
        only: The sub-folders to take; no other is looked at.

    Raises:
        UserError: If the folder is missing, has no images, holds splits instead of classes, or images beside classes,
            if one of the sub-folders to take is missing, or the classes are not among those of the training images.
        ValueError: If ``labels`` is neither of the two.
    """
    if labels not in ("auto", "none"):
        raise ValueError(f"Expected labels to be 'auto' or 'none', but got {labels!r}.")
    root = check_image_folder(root, key)
    files = _images_below(root, key, only)
    if labels == "none" or only is not None:
        return _numbered(files, root, root, [] if labels == "none" else sorted(only or ()), among)
    base, classes = _find_classes(files, root, among or ())
    if split := next(filter(_SPLIT.fullmatch, base.relative_to(root).parts), None):
        inside = Path(root, *base.relative_to(root).parts[: base.relative_to(root).parts.index(split) + 1])
        raise UserError(f"Expected classes in {key}={root}, but it holds the split {split} alone; set {key}={inside}.")
    # One such name may be that of a class, as train beside car and bus is.
    if len(splits := [*filter(_SPLIT.fullmatch, classes)]) > 1:
        raise UserError(
            f"Expected classes in {key}={base}, but it holds the splits {some(splits)}; "
            "set data.train_path and data.val_path to those, or data.labels=none to take all."
        )
    names = {name.lower() for name in classes}
    if names & _MASKS and names <= _MASKS | _PICTURES:
        raise UserError(
            f"Expected classes in {key}={base}, but it holds images and their masks ({some(classes)}); set {key} to "
            "the images, or take data=image_masks data.images_path=DIR data.masks_path=DIR, or data.labels=none."
        )
    if classes and (stray := [file.name for file in files if file.parent == base]):
        raise UserError(
            f"Expected each image of {key}={base} in the folder of its class ({some(classes)}), but beside these lies "
            f"{some(stray, most=1)}; move it, or set data.labels=none to take all images without labels."
        )
    if base != root:
        warnings.warn(
            f"{key}={root} has no classes itself; those one level down, in '{base}', were taken ({some(classes)}). "
            f"Set {key} to that folder, or data.labels=none to take no labels.",
            stacklevel=3,
        )
    return _numbered(files, root, base, classes, among)


def _numbered(
    files: list[Path], root: Path, base: Path, classes: list[str], among: Sequence[str] | None
) -> tuple[Files, list[str]]:
    """Return the files with the numbers of their classes, the folders in ``base``; -1 if there are none."""
    if among and not classes:
        raise UserError(
            f"Expected a sub-folder for each class in data.val_path={root}, as in the training "
            "folder; sort its images into them, or set data.labels=none."
        )
    if among and (odd := sorted(set(classes) - set(among))):
        raise UserError(
            f"The classes {some(odd)} in '{root}' are not among the "
            f"{len(among)} of the training folder ({some(among)}); "
            "give both folders the same sub-folders."
        )
    numbers = {name: number for number, name in enumerate(classes if among is None else among)}
    labels = [numbers[_first_folder(file, base)] if numbers else UNLABELED for file in files]
    return Files(files, torch.tensor(labels), root), classes


def _images_below(root: Path, key: str, only: Collection[str] | None = None) -> list[Path]:
    """Return the images in the order of their names, and count what else there is."""
    known = image_suffixes()
    folders = [root] if only is None else [root / name for name in only]
    if absent := [folder.name for folder in folders if not folder.is_dir()]:
        raise UserError(
            f"Expected a folder for each of {len(folders)} classes in {key}={root}, but {len(absent)} are missing: "
            f"{some(absent)}."
        )
    every = sorted(file for folder in folders for file in _files_below(folder) if not file.name.startswith("."))
    files = [file for file in every if file.suffix.lower() in known]
    endings = Counter(file.suffix.lower() or "without ending" for file in every if file.suffix.lower() not in known)
    others = {ending: count for ending, count in endings.most_common() if ending not in _NOTES}
    counted = some([f"{count} {ending}" for ending, count in others.items()])
    if not files:
        raise UserError(
            f"Expected images (jpg, png, tiff, webp and whatever else Pillow reads) below {key}={root}, but found none"
            f"{f', only files that Pillow does not read ({counted})' if others else ''}; check the path."
        )
    if others:
        total = len(files) + sum(others.values())
        warnings.warn(
            f"Left out {sum(others.values())} of {total} files below {key}={root}, whose endings Pillow does not read: "
            f"{counted}. Convert them if they are images.",
            stacklevel=4,
        )
    return files


def _files_below(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, those of a folder that several paths lead to once.

    Links to folders wait until the folders themselves are read: a file in ``b`` belongs to ``b``, not to a link to it
    in ``a``. A link to a folder around it, which leads in a circle and out of the root, is not followed.
    """
    read: set[str] = set()
    waiting = deque([str(root)])
    while waiting:
        for folder, inside, names in os.walk(waiting.popleft()):
            real = os.path.realpath(folder)
            if real in read:
                inside.clear()
                continue
            read.add(real)
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            links = (path for name in inside if os.path.islink(path := os.path.join(folder, name)))
            waiting += (link for link in links if not Path(real).is_relative_to(os.path.realpath(link)))
            yield from (Path(folder, name) for name in names)


def _find_classes(files: list[Path], root: Path, among: Collection[str]) -> tuple[Path, list[str]]:
    """Return the names of two class folders or more, or some of the known ones, and the folder that holds them.

    This is the root, or the only folder in it, and so on; without classes, the root and no names.
    """
    base = root
    while True:
        names = sorted({_first_folder(file, base) for file in files if file.parent != base})
        if len(names) > 1 or (names and set(names) <= set(among)):
            return base, names
        if not names or any(file.parent == base for file in files):
            return root, []
        base /= names[0]


def _first_folder(file: Path, base: Path) -> str:
    return file.relative_to(base).parts[0]
