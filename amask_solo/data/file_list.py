"""Images that a file lists: a text file, a table, or Parquet."""

import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from amask_solo.data.base import UNLABELED, ImageData
from amask_solo.data.file_images import Files, load_files
from amask_solo.data.values import image_suffixes
from amask_solo.errors import UserError, nearest
from amask_solo.files import expanded

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
"""Part of a data set -> what a list may call it; of several names for validation, the first one is taken."""

COLUMNS = ("path", "label", "split")
"""The columns of a table that are read, in upper or lower case."""

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
    numbers; the classes are in their order. Without any labels, or with the label -1, images have none.

    Args:
        list: The file. Rows of other splits than these are left out, with a warning.
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
    wanted = ["label"] if labels != "none" else []
    _warn_of_columns(rows, f"data.list={file}", wanted if val_list else [*wanted, "split"])
    parts = {"train": _of_split(rows, "train"), "val": _of_split(rows, "val")}
    if val_list is not None:
        parts["val"] = [*read_rows(expanded(val_list), "data.val_list")]
        _warn_of_columns(parts["val"], f"data.val_list={val_list}", wanted)
    if not parts["train"]:
        raise UserError(f"Expected images of the split train in data.list={file}, but there are none.")
    _warn_of_splits(rows, f"data.list={file}")
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
            raise UserError(
                f"Expected a column 'path' in {key}={file}, with a path in each row, but got "
                f"{dict(row)}{nearest('path', {*map(str, row)} - {'path'})}"
            )
        yield row


def _read_text(file: Path) -> Iterator[Row]:
    known = image_suffixes()
    for line in filter(None, map(str.strip, file.read_text(WITH_MARK).splitlines())):
        path, _, label = line.rpartition("\t" if "\t" in line else " ")
        whole = not path or Path(label).suffix.lower() in known
        yield {"path": line} if whole else {"path": path, "label": label}


def _read_table(file: Path) -> Iterator[Row]:
    with file.open(newline="", encoding=WITH_MARK) as lines:
        table = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        table.fieldnames = _columns(table.fieldnames or ())
        yield from table


def _read_parquet(file: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"'{file}' is a Parquet file; install a reader with: pip install 'amask-solo[parquet]', or write it as CSV."
        ) from error
    table = parquet.read_table(file)
    yield from table.rename_columns(_columns(table.column_names)).to_pylist()


def _columns(found: Sequence[str]) -> list[str]:
    """Return the names of columns, those that are read as they are called here."""
    plain = {name: name.strip().lower() for name in found}
    return [plain[name] if plain[name] in COLUMNS and plain[name] not in found else name for name in found]


def _warn_of_columns(rows: Sequence[Row], where: str, wanted: Sequence[str]) -> None:
    """Name the columns that are not read, if one of those that are wanted is missing."""
    columns = [str(column) for column in (rows[0] if rows else ())]
    absent = [column for column in wanted if column not in columns]
    if absent and (others := [column for column in columns if column not in COLUMNS]):
        warnings.warn(
            f"{where} has no column {' and no column '.join(absent)}, and these are not read: {', '.join(others)}"
            f"{nearest(absent[0], others)} Rename a column that is to be read.",
            stacklevel=3,
        )


def _warn_of_splits(rows: Sequence[Row], where: str) -> None:
    """Count the rows of splits that have no known name."""
    known = [name for names in SPLITS.values() for name in names]
    if odd := [split for row in rows if (split := _split(row)) not in known]:
        warnings.warn(
            f"Left out {len(odd)} of {len(rows)} rows of {where}, of the split(s) {', '.join(sorted(set(odd))[:5])}; "
            f"those that are read are {', '.join(known)}.",
            stacklevel=3,
        )


def _of_split(rows: Sequence[Row], part: str) -> list[Row]:
    """Return the rows of a part; without a column ``split``, all are for training."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(_split(row), []).append(row)
    return next((named[name] for name in SPLITS[part] if name in named), [])


def _split(row: Row) -> str:
    return str(row.get("split") or "train").strip().lower()


def _label(row: Row) -> str:
    """Return what stands for a class; nothing for -1, which says that there is none, as in the host's data sets."""
    label = row.get("label")
    return "" if label is None or str(label).strip() == str(UNLABELED) else str(label)


def _class_names(rows: Iterator[Row]) -> list[str]:
    """Return the labels in the order of words, or of numbers if all are numbers; none if no row has a label."""
    found = {label for row in rows if (label := _label(row))}
    return sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found)


def _files(rows: Sequence[Row], names: Sequence[str], folder: Path) -> Files:
    numbers = {name: number for number, name in enumerate(names)}
    labels = [numbers.get(_label(row), UNLABELED) for row in rows]
    return Files([folder / str(row["path"]) for row in rows], torch.tensor(labels), folder)
