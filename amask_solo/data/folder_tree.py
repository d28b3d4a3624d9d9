"""A folder tree as a list of image files and their classes."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from amask_solo.data.base import UNLABELED, Labels
from amask_solo.data.decode import IMAGE_SUFFIXES
from amask_solo.data.subsets import Picks
from amask_solo.errors import UserError
from amask_solo.files import check_image_folder

_SPLITS = {"train", "training", "val", "valid", "validation", "test"}


@dataclass(frozen=True)
class FolderTree:
    """The image files below a folder.

    Attributes:
        root: The folder.
        files: In the order of their names, so that an index means the same file on every machine.
        class_names: The sub-folders, sorted; empty if the tree is taken as unlabeled.
    """

    root: Path
    files: list[Path]
    class_names: list[str]

    def select(self, picks: Picks) -> "FolderTree":
        """Return a tree of some of the files, with the same classes."""
        return FolderTree(self.root, [self.files[pick] for pick in picks.tolist()], self.class_names)

    def labels(self, class_names: list[str]) -> Labels:
        """Number the classes of the files by their place in ``class_names``; -1 if that is empty.

        Raises:
            UserError: If a file's class is not among them.
        """
        if not class_names:
            return torch.full((len(self.files),), UNLABELED)
        if odd := sorted(set(self.class_names) - set(class_names)):
            raise UserError(
                f"The classes {_some(odd)} in '{self.root}' are not among the "
                f"{len(class_names)} of the training folder ({_some(class_names)}); "
                "give both folders the same sub-folders."
            )
        numbers = {name: number for number, name in enumerate(class_names)}
        return torch.tensor([numbers[_class_of(file, self.root)] for file in self.files])


def scan_folder(root: str | Path, *, labels: Literal["auto", "none"], key: str) -> FolderTree:
    """Find the images below a folder, at any depth.

    Links are followed, but each real folder is read once, so a link to a parent does no harm. Hidden files and folders
    are passed over.

    Args:
        root: The folder.
        labels: ``auto`` takes the sub-folders as classes if there are at least two; ``none`` takes no labels.
        key: The setting that named the folder, for error messages.

    Raises:
        UserError: If the folder is missing, has no images, holds splits instead of classes, or images beside classes.
        ValueError: If ``labels`` is neither of the two.
    """
    if labels not in ("auto", "none"):
        raise ValueError(f"Expected labels to be 'auto' or 'none', but got {labels!r}.")
    root = check_image_folder(root, key)
    files = sorted(
        file for file in _files_below(root) if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        known = ", ".join(sorted(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES))
        raise UserError(f"Expected images ({known}) below {key}={root}, but found none; check the path.")
    classes = _find_classes(files, root) if labels == "auto" else []
    if classes and {name.lower() for name in classes} <= _SPLITS:
        raise UserError(
            f"Expected classes in {key}={root}, but it holds the splits {_some(classes)}; "
            "set data.train_path and data.val_path to those, or data.labels=none to take all."
        )
    if classes and (stray := [file.name for file in files if file.parent == root]):
        raise UserError(
            f"Expected each image of {key}={root} in the folder of its class ({_some(classes)}), but beside these lies "
            f"{_some(stray, most=1)}; move it, or set data.labels=none to take all images without labels."
        )
    return FolderTree(root, files, classes)


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


def _find_classes(files: list[Path], root: Path) -> list[str]:
    names = sorted({_class_of(file, root) for file in files if file.parent != root})
    return names if len(names) > 1 else []


def _class_of(file: Path, root: Path) -> str:
    return file.relative_to(root).parts[0]


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
