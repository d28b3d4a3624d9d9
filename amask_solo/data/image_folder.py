"""Any folder of images, with or without labels."""

from pathlib import Path
from typing import Any, Literal

from amask_solo.data.base import ImageData
from amask_solo.data.file_images import load_files
from amask_solo.data.folder_tree import scan_folder
from amask_solo.errors import UserError
from amask_solo.files import expanded

LISTS = Path(__file__).parent / "lists"
"""Facts about published data sets: their classes."""

FOLDERS = ("train_path", "val_path", "root")


def load_image_folder(
    *,
    train_path: str | None = None,
    val_path: str | None = None,
    root: str | None = None,
    classes: str | None = None,
    labels: Literal["auto", "none"] = "auto",
    name: str | None = None,
    **files: Any,
) -> ImageData:
    """Take the images below a folder, at any depth.

    Args:
        train_path: The folder to learn from, unless ``root`` is given.
        val_path: The folder to validate on; its classes are some of the training folder's.
        root: A folder with ``train`` and ``val``, as ImageNet's, in place of the two paths.
        classes: Which sub-folders of these to take: ``imagenet100``, or a text file of their names; by default all.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, and no image may lie beside them;
            ``none`` takes no labels.
        name: What the set is called in summaries; by default as its folder, or as the one around ``train``.
        files: Settings of :func:`~amask_solo.data.file_images.load_files`.

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
    train, class_names = scan_folder(train_path, labels=labels, key=keys["train"], only=only)
    parts = {"train": train}
    if val_path is not None:
        parts["val"], _ = scan_folder(val_path, labels=labels, key=keys["val"], among=class_names, only=only)
    folder = expanded(train_path).resolve()
    # `train` says nothing about whose training images they are.
    name = name or (folder.parent.name if folder.name == "train" else folder.name)
    return load_files(parts, class_names, name=name, **files)


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
