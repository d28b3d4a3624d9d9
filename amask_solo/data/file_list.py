"""Images that a file lists, with their labels and the part of the data set that they are in."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from amask_solo.data.base import UNLABELED, ImageData
from amask_solo.data.file_images import Files, load_files
from amask_solo.data.list_rows import COLUMNS, Row, read_rows
from amask_solo.errors import UserError, nearest, some
from amask_solo.files import expanded

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
"""Part of a data set -> what a list may call it; of several names, the first one that is there is taken."""

_WHOLE = re.compile(r"-?\d+(\.0*)?")
"""Whole numbers, also with a point, as pandas writes those of a column that has gaps."""


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
    numbers; the classes are those of the training images, in their order. Without any labels, or with the label -1,
    images have none.

    Args:
        list: The file. Rows of other splits than these, and those of ``test`` beside ``val``, are left out, with a
            warning.
        val_list: A second file, with the images to score on, in place of those that the first one has for this; without
            one, and without a split, images are held out.
        root: The folder that relative paths start from; by default that of the file.
        labels: ``none`` takes no labels.
        name: What the set is called in summaries; by default as the file.
        files: Settings of :func:`~amask_solo.data.file_images.load_files`.

    Raises:
        UserError: If a file is missing or cannot be understood, has no images of its part, or labels to validate on
            that no training image has.
        ValueError: If a setting is out of range.
    """
    file = expanded(list)
    wanted = ["label"] if labels != "none" else []
    if val_list is None:
        parts = _read_parts(file, "data.list", ("train", "val"), [*wanted, "split"])
    else:
        parts = _read_parts(file, "data.list", ("train",), wanted)
        parts |= _read_parts(expanded(val_list), "data.val_list", ("val",), wanted)
    said = _labels(parts) if labels != "none" else {part: [""] * len(rows) for part, rows in parts.items()}
    names = _class_names(said["train"])
    _refuse_unknown({*said.get("val", ())} - {"", *names}, names)
    numbers = {"": UNLABELED} | {label: number for number, label in enumerate(names)}
    folder = (expanded(root) if root else file.parent).absolute()
    found = {
        part: Files(
            [folder / row["path"] for row in rows], torch.tensor([numbers[label] for label in said[part]]), folder
        )
        for part, rows in parts.items()
    }
    return load_files(found, names, name=name or file.stem, **files)


def _read_parts(file: Path, key: str, parts: Sequence[str], wanted: Sequence[str]) -> dict[str, list[Row]]:
    """Return the rows of parts of the data set, and say which rows and columns of the list are not read.

    A row that names no split is of the first part, which has to be there.
    """
    rows, where = read_rows(file, key), f"{key}={file}"
    _warn_of_columns(rows, where, wanted)
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault((row.get("split") or parts[0]).lower(), []).append(row)
    found = {part: next((named.pop(name) for name in SPLITS[part] if name in named), []) for part in parts}
    if not found[parts[0]]:
        raise UserError(f"Expected images of the split {parts[0]} in {where}, but there are none.")
    if named:
        known = " and the first of ".join(", ".join(SPLITS[part]) for part in parts)
        warnings.warn(
            f"Left out {sum(map(len, named.values()))} of {len(rows)} rows of {where}, of the split(s) "
            f"{some(sorted(named))}; those that are read are the first of {known}.",
            stacklevel=3,
        )
    return {part: rows for part, rows in found.items() if rows}


def _warn_of_columns(rows: Sequence[Row], where: str, wanted: Sequence[str]) -> None:
    """Name the columns that are not read, if one of those that are wanted is missing."""
    columns = [str(column) for column in (rows[0] if rows else ())]
    absent = [column for column in wanted if column not in columns]
    if absent and (others := [column for column in columns if column not in COLUMNS]):
        warnings.warn(
            f"{where} has no column {' and no column '.join(absent)}, and these are not read: {', '.join(others)}"
            f"{nearest(absent[0], others)} Rename a column that is to be read.",
            stacklevel=4,
        )


def _labels(parts: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
    """Return the labels of the parts; nothing for -1, which says that there is none, as in the host's data sets.

    If all of them are whole numbers, these have no point.
    """
    labels = {part: [row.get("label", "") for row in rows] for part, rows in parts.items()}
    if all(_WHOLE.fullmatch(label) for every in labels.values() for label in every if label):
        labels = {part: [label.partition(".")[0] for label in every] for part, every in labels.items()}
    return {part: ["" if label == str(UNLABELED) else label for label in every] for part, every in labels.items()}


def _class_names(labels: Sequence[str]) -> list[str]:
    """Return the labels in the order of words, or of numbers if all are numbers; none if no row has a label."""
    found = {*labels} - {""}
    return sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found)


def _refuse_unknown(odd: set[str], names: Sequence[str]) -> None:
    if odd:
        raise UserError(
            f"The labels {some(sorted(odd))} of images to validate on are not among the {len(names)} of those to "
            f"train on ({some(names)}); give both parts the same ones, or set data.labels=none."
        )
