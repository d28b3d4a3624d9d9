"""Images that a file lists: a text file, a table, or Parquet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from amask_solo.data.base import UNLABELED, ImageData
from amask_solo.data.file_images import Files, load_files
from amask_solo.data.values import image_suffixes
from amask_solo.errors import UserError
from amask_solo.files import expanded

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
"""Part of a data set -> what a list may call it; of several names for validation, the first one is taken."""

WITH_MARK = "utf-8-sig"
"""Other systems begin text with a mark of its encoding, which is no part of it."""

Row = Mapping[str, Any]
"""``path``, and perhaps ``label`` and ``split``."""


def load_file_list(
    *,
    list: str,  # noqa: A002
    val_list: str | None = None,
    root: str | None = None,
    labels: Literal["auto", "none"] = "auto",
    name: str | None = None,
    **files: Any,
) -> ImageData:
    """Take the images that a file lists, and read them as :func:`~amask_solo.data.load_image_folder` does.

    A text file has a path on each line and, after a space or tab, perhaps a label. A CSV, TSV or Parquet file has a
    column ``path`` and perhaps ``label`` and ``split`` (``train``, ``val`` or ``test``). Labels are any words or
    numbers; the classes are in their order. Without any labels, images have none.

    Args:
        list: The file. Rows of other splits than these are left out.
        val_list: A second file, with the images to score on; without one, and without a split, images are held out.
        root: The folder that relative paths start from; by default that of the file.
        labels: ``none`` takes no labels.
        name: What the set is called in summaries; by default as the file.
        files: Settings of :func:`~amask_solo.data.file_images.load_files`.

    Raises:
        UserError: If a file is missing or cannot be understood, or has no training images.
        ValueError: If a setting is out of range.
    """
    file = expanded(list)
    rows = [*read_rows(file, "data.list")]
    parts = {"train": _of_split(rows, "train"), "val": _of_split(rows, "val")}
    if val_list is not None:
        parts["val"] = [*read_rows(expanded(val_list), "data.val_list")]
    if not parts["train"]:
        raise UserError(f"Expected images of the split train in data.list={file}, but there are none.")
    names = _class_names(row for part in parts.values() for row in part) if labels != "none" else []
    folder = expanded(root) if root else file.parent
    found = {part: _files(rows, names, folder.absolute()) for part, rows in parts.items() if rows}
    return load_files(found, names, name=name or file.stem, **files)


def read_rows(file: Path, key: str) -> Iterator[Row]:
    """Yield the rows of a list, which the setting ``key`` named.

    Raises:
        UserError: If it is missing, has no paths, or needs a library that is not there.
    """
    if not file.is_file():
        raise UserError(f"Expected a list of images at {key}={file}, but there is none; check the path.")
    read = {".csv": _read_table, ".tsv": _read_table, ".parquet": _read_parquet}.get(file.suffix.lower(), _read_text)
    for row in read(file):
        if not row.get("path"):
            raise UserError(f"Expected a column 'path' in {key}={file}, with a path in each row, but got {dict(row)}.")
        yield row


def _read_text(file: Path) -> Iterator[Row]:
    known = image_suffixes()
    for line in filter(None, map(str.strip, file.read_text(WITH_MARK).splitlines())):
        path, _, label = line.rpartition("\t" if "\t" in line else " ")
        whole = not path or Path(label).suffix.lower() in known
        yield {"path": line} if whole else {"path": path, "label": label}


def _read_table(file: Path) -> Iterator[Row]:
    with file.open(newline="", encoding=WITH_MARK) as lines:
        yield from csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")


def _read_parquet(file: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"'{file}' is a Parquet file; install a reader with: pip install 'amask-solo[parquet]', or write it as CSV."
        ) from error
    yield from parquet.read_table(file).to_pylist()


def _of_split(rows: Sequence[Row], part: str) -> list[Row]:
    """Return the rows of a part; without a column ``split``, all are for training."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(str(row.get("split") or "train").lower(), []).append(row)
    return next((named[name] for name in SPLITS[part] if name in named), [])


def _class_names(rows: Iterator[Row]) -> list[str]:
    """Return the labels in the order of words, or of numbers if all are numbers; none if no row has a label."""
    found = {str(row["label"]) for row in rows if row.get("label") not in (None, "")}
    return sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found)


def _files(rows: Sequence[Row], names: Sequence[str], folder: Path) -> Files:
    numbers = {name: number for number, name in enumerate(names)}
    labels = [numbers.get(str(row.get("label")), UNLABELED) for row in rows]
    return Files([folder / str(row["path"]) for row in rows], torch.tensor(labels), folder)
