"""Read the curves of a run from its ``metrics.csv``."""

import csv
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path

from amask_solo.errors import UserError

Curve = list[tuple[int, float]]
"""Pairs of the epochs done and the last value of that epoch; epochs without a finite value are left out."""


def read_curves(metrics: Path, columns: Mapping[str, str | re.Pattern[str]]) -> dict[str, Curve]:
    """Return the curves that are not empty, by title; ``columns`` has the name of each one's column, or a pattern.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        with metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = rows[0].keys() if rows else ()
        curves = {title: _curve(rows, _column(column, names)) for title, column in columns.items()}
    except OSError as error:
        raise UserError(f"Cannot read {metrics}: {error.strerror}. Make the run again.") from error
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{metrics} is no table of a run's metrics ({error!r}). Make the run again.") from error
    return {title: curve for title, curve in curves.items() if curve}


def _column(column: str | re.Pattern[str], names: Iterable[str]) -> str:
    return column if isinstance(column, str) else next(filter(column.fullmatch, names), "")


def _curve(rows: list[dict[str, str]], name: str) -> Curve:
    points = {int(row["epoch"]) + 1: float(row[name]) for row in rows if row.get(name)}
    return sorted((epoch, value) for epoch, value in points.items() if isfinite(value))
