"""Tables of the report: accuracy and masks, and one of all numbers; in Markdown, LaTeX and for the terminal."""

import csv
import io
from collections.abc import Sequence
from numbers import Real
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table as RichTable

from amask_solo.comparison.records import Record
from amask_solo.comparison.scores import PERCENT, Scale
from amask_solo.comparison.statistics import Difference, Row, grouped
from amask_solo.comparison.wording import digits, interval, number
from amask_solo.configuration import flat

MADE_WITH = ("host", "precision", "device", "versions/")
"""Entries of ``summary.json`` that are no numbers, but tell which runs were made alike."""

MASKS = ("area", "entropy", "overlap", "diversity")
STRENGTH = ("advantage", "attention")
"""What :func:`mask_table` shows: of ``masks`` in ``summary.json``, and of its ``adversary/`` metrics."""


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


class Table(NamedTuple):
    """A table of the report; columns after the first two are numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table in Markdown.

        Example:
            >>> print(Table(["base", "arm", "n"], [["byol", "stock", "3"]]).markdown())
            | base | arm | n |
            | --- | --- | ---: |
            | byol | stock | 3 |
        """
        rule = ["---"] * 2 + ["---:"] * (len(self.header) - 2)
        lines = (self.header, rule[: len(self.header)], *self.rows)
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def latex(self, caption: str) -> str:
        """Return the table in LaTeX, for the package ``booktabs``."""
        header, *rows = (
            " & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in (self.header, *self.rows)
        )
        columns = "ll" + "r" * (len(self.header) - 2)
        start = [r"\begin{table}", r"\centering", rf"\caption{{{caption.translate(LATEX)}}}"]
        start += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule"]
        return "\n".join([*start, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"])

    def console(self, title: str) -> RichTable:
        """Return the table for the terminal."""
        table = RichTable(title=title, title_justify="left")
        for n, name in enumerate(self.header):
            # In a narrow terminal, a number goes on in the next line rather than losing its end.
            table.add_column(name, justify="right" if n > 1 else "left", overflow="fold")
        for line in self.rows:
            table.add_row(*line)
        return table


def mean_table(rows: Sequence[Row], scale: Scale = PERCENT) -> Table:
    """Return the means of one metric."""
    known = [row for row in rows if row.mean is not None]
    cells = [[row.base, row.arm, spread(row.mean, row.std, scale.digits), str(row.count)] for row in known]
    return Table(["base", "arm", "mean ± std", "seeds"], cells)


def difference_table(rows: Sequence[Row], scale: Scale = PERCENT) -> Table:
    """Return the differences of one metric, each with all of its intervals that there are."""
    header = ["base", "arm", "against", "difference", "95 % interval", "corrected", "over images", "pairs"]
    cells = [
        [row.base, row.arm, reference, *_difference(difference, digits(difference, scale)), str(difference.count)]
        for row in rows
        for reference, difference in row.differences.items()
    ]
    # A column that has nothing to say is left out.
    kept = [n for n in range(len(header)) if n not in (5, 6) or any(line[n] != "-" for line in cells)]
    return Table([header[n] for n in kept], [[line[n] for n in kept] for line in cells])


def _difference(difference: Difference, digits: int) -> list[str]:
    kinds = (difference.interval, difference.corrected, difference.images)
    return [number(difference.mean, digits, sign=True), *(interval(ends, digits) or "-" for ends in kinds)]


def spread(mean: float | None, std: float | None, digits: int = 1) -> str:
    """Return a mean and a standard deviation, which a single run does not have."""
    return number(mean, digits) if std is None else f"{number(mean, digits)} ± {number(std, digits)}"


def mask_table(records: Sequence[Record]) -> Table:
    """Return what the masks of the last epoch were like, mean over seeds; without rows if there were none."""
    groups = {pair: [_game(r) for r in runs if r.summary["masks"]] for pair, runs in grouped(records).items()}

    def cells(masks: Sequence[dict[str, float | None]], name: str) -> str:
        values = [value for mask in masks if (value := mask.get(name)) is not None]
        return number(fmean(values), 3) if values else "-"

    rows = [[*pair, *(cells(masks, name) for name in (*MASKS, *STRENGTH))] for pair, masks in groups.items() if masks]
    return Table(["base", "arm", *MASKS, *STRENGTH], rows)


def _game(record: Record) -> dict[str, float | None]:
    metrics = record.summary.get("metrics", {})
    return record.summary["masks"] | {name: metrics.get(f"adversary/{name}") for name in STRENGTH}


def csv_text(records: Sequence[Record]) -> str:
    """Return one line a run, with all of its scores, all numbers of its summary, and what it was made with."""
    rows: list[dict[str, Any]] = []
    for r in records:
        known = {
            name: value
            for name, value in flat(r.summary, "/").items()
            if isinstance(value, Real) or (isinstance(value, str) and name.startswith(MADE_WITH))
        }
        rows.append({"base": r.base, "arm": r.arm, "seed": r.seed, **r.scores, **known})
    columns = dict.fromkeys(name for row in rows for name in row) or ("base", "arm", "seed")
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(columns), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
