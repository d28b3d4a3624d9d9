"""Any folder of images, with or without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from amask_solo.data.base import ImageData
from amask_solo.data.file_images import load_files
from amask_solo.data.folder_tree import scan_folder
from amask_solo.errors import UserError
from amask_solo.files import expanded, read_text

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
            Folders given by path have no others, and perhaps only some.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, and no image may lie beside them;
            ``none`` takes no labels.
        name: What the set is called in summaries; by default as its folder, or as the one around ``train``.
        files: Settings of :func:`~amask_solo.data.file_images.load_files`.

    Raises:
        UserError: If a folder is missing or empty, a file cannot be read, or two settings do not go together.
        ValueError: If a setting is out of range.
    """
    if root is not None and (train_path, val_path) != (None, None):
        raise UserError(
            f"Expected data.root={root}, a folder with train and val in it, or data.train_path and data.val_path, but "
            "got both; set the one or the others to null."
        )
    keys = {"train": "data.train_path", "val": "data.val_path"}
    if root is not None:
        train_path, val_path, keys = f"{root}/train", f"{root}/val", dict.fromkeys(keys, "data.root")
    if train_path is None:
        raise UserError("Expected data.root=DIR, a folder with train and val in it, or data.train_path=DIR.")
    listed = read_classes(classes) if classes else None
    only = listed if root is not None else None
    train, class_names = scan_folder(train_path, labels=labels, key=keys["train"], only=only)
    if listed is not None and only is None:
        _refuse_others(class_names or _sub_folders(train.root), listed, train.root)
    parts = {"train": train}
    if val_path is not None:
        parts["val"], _ = scan_folder(val_path, labels=labels, key=keys["val"], among=class_names, only=only)
    folder = expanded(train_path).resolve()
    # `train` says nothing about whose training images they are.
    name = name or (folder.parent.name if folder.name == "train" else folder.name)
    return load_files(parts, class_names, name=name, **files)


def _refuse_others(found: Sequence[str], listed: Sequence[str], folder: Path) -> None:
    """Refuse a folder by path of which not all sub-folders are on the list: nobody has sorted these out."""
    if odd := sorted(set(found) - set(listed)):
        raise UserError(
            f"Expected only classes of the {len(listed)} of data.classes in data.train_path={folder}, but {len(odd)} "
            f"others are there ({', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}); give data.root=DIR, a folder "
            "with train and val in it, to leave others out, or data.classes=null to take all."
        )


def _sub_folders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def read_classes(classes: str) -> list[str]:
    """Return the names in a text file, or in a published list of this package; what follows a # is not read.

    Raises:
        UserError: If there is no such list, or it is no text.
    """
    file = expanded(classes)
    published = LISTS / f"{classes}.txt"
    if not file.is_file() and not published.is_file():
        known = ", ".join(sorted(file.stem for file in LISTS.glob("imagenet???.txt")))
        raise UserError(f"Expected data.classes to be a text file or {known}, but got {classes!r}.")
    lines = read_text(file if file.is_file() else published).splitlines()
    # A class that is named twice is one class.
    return [*dict.fromkeys(name for line in lines for name in line.partition("#")[0].split())]
