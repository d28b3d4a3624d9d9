"""The rows of a list of files: a text file, a table, or Parquet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from math import isnan
from pathlib import Path
from typing import Any

from amask_solo.data.opening import image_suffixes
from amask_solo.errors import UserError, nearest
from amask_solo.files import read_text

COLUMNS = ("path", "label", "split")
"""The columns of a table that are read, in upper or lower case."""

Row = Mapping[str, Any]
"""``path``, and perhaps ``label`` and ``split``, as text without spaces around it; perhaps further columns."""


def read_rows(file: Path, key: str) -> list[Row]:
    """Return the rows of a list, which the setting ``key`` named.

    Raises:
        UserError: If it is missing, has no paths, cannot be understood, or needs a library that is not there.
    """
    if not file.is_file():
        raise UserError(f"Expected a list of images at {key}={file}, but there is none; check the path.")
    read = {".csv": _read_table, ".tsv": _read_table, ".parquet": _read_parquet}.get(file.suffix.lower(), _read_text)
    rows: list[Row] = [{**row, **{name: _text(row[name]) for name in COLUMNS if name in row}} for row in read(file)]
    if bad := next((row for row in rows if not row.get("path")), None):
        raise UserError(
            f"Expected a column 'path' in {key}={file}, with a path in each row, but got "
            f"{bad}{nearest('path', {*map(str, bad)} - {'path'})}"
        )
    return rows


def _text(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and isnan(value)) else str(value).strip()


def _read_text(file: Path) -> Iterator[Row]:
    known = image_suffixes()
    for line in filter(None, map(str.strip, read_text(file).splitlines())):
        path, _, label = line.rpartition("\t" if "\t" in line else " ")
        whole = not path or Path(label).suffix.lower() in known
        yield {"path": line} if whole else {"path": path, "label": label}


def _read_table(file: Path) -> Iterator[Row]:
    join = "\t" if file.suffix.lower() == ".tsv" else ","
    # Else a stray quotation mark takes all lines up to the next one for a single field.
    table = csv.DictReader(StringIO(read_text(file)), delimiter=join, strict=True)
    line = 1
    try:
        table.fieldnames = _columns(table.fieldnames or ())
        line = table.line_num + 1
        for row in table:
            line = table.line_num + 1
            yield row
    except csv.Error as error:
        raise UserError(
            f"Cannot read the row of '{file}' that begins at line {line} ({error}); put a field that begins with a "
            "quotation mark in quotation marks as a whole, and double those inside of it."
        ) from error


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
