"""Tables of the report: accuracy, cost, masks, what the runs share."""

from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from statistics import fmean, median
from typing import Any

from rich.table import Table

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import REFERENCES, Row, arm_order
from amask_solo.comparison.wording import intervals, metric_name, number

FACTS: tuple[str, ...] = ("data", "train_images", "val_images", "image_size", "backbone", "batch_size", "epochs")
FACTS += ("host", "processes", "precision", "device")
"""Keys of ``summary.json`` that say under which conditions the runs were made."""

MASKS = ("area", "entropy", "overlap", "diversity")
STRENGTH = ("advantage", "attention")
"""What :func:`mask_table` shows: of ``masks`` in ``summary.json``, and of its ``adversary/`` metrics."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; columns after the first two are numbers.

    Example:
        >>> print(markdown(["base", "arm", "n"], [["byol", "stock", "3"]]))
        | base | arm | n |
        | --- | --- | ---: |
        | byol | stock | 3 |
    """
    rule = ["---"] * 2 + ["---:"] * (len(header) - 2)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule[: len(header)], *rows))


def accuracy_table(rows: Sequence[Row]) -> str:
    """Return means and differences of one metric."""
    return markdown(*_accuracies(rows))


def console_table(rows: Sequence[Row], metric: str) -> Table:
    """Return the same for the terminal."""
    header, cells = _accuracies(rows)
    table = Table(title=metric_name(metric), title_justify="left")
    for n, name in enumerate(header):
        table.add_column(name, justify="right" if n > 1 else "left")
    for line in cells:
        table.add_row(*line)
    return table


def _accuracies(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    references = [name for name in REFERENCES if any(name in row.differences for row in rows)]
    header = ["base", "arm", "mean ± std", *(f"difference to {name}" for name in references), "seeds"]
    return header, [
        [row.base, row.arm, _spread(row), *(_difference(row, name) for name in references), _count(row)] for row in rows
    ]


def _spread(row: Row) -> str:
    return number(row.mean) if row.std is None else f"{number(row.mean)} ± {number(row.std)}"


def _difference(row: Row, reference: str) -> str:
    if reference not in row.differences:
        return ""
    difference = row.differences[reference]
    return " ".join([number(difference.mean, sign=True), *intervals(difference)])


def _count(row: Row) -> str:
    return str(row.count) if row.mean is not None else f"{row.count} pairs"


def cost_table(records: Sequence[Record]) -> str:
    """Return what runs cost: medians over seeds, and how that compares with stock of the same base."""
    header = ["base", "arm", "epochs", "seconds a step", "to stock", "peak memory (MiB)", "to stock", "seconds a run"]
    groups = _groups(records)

    def cells(base: str, arm: str) -> list[str]:
        runs, stock = groups[base, arm], groups.get((base, STOCK), [])
        step, memory = _median(runs, "seconds_per_step"), _median(runs, "peak_memory_mib")
        return [
            number(_median(runs, "epochs_done"), 0),
            number(step, 3),
            _ratio(step, _median(stock, "seconds_per_step")),
            number(memory, 0),
            _ratio(memory, _median(stock, "peak_memory_mib")),
            number(median(run.seconds for run in runs), 0),
        ]

    return markdown(header, [[base, arm, *cells(base, arm)] for base, arm in groups])


def mask_table(records: Sequence[Record]) -> str:
    """Return what the masks of the last epoch were like, mean over seeds; nothing if there were none."""
    groups = {pair: [_game(r) for r in runs if r.summary["masks"]] for pair, runs in _groups(records).items()}

    def cells(masks: Sequence[dict[str, float | None]], name: str) -> str:
        values = [value for mask in masks if (value := mask.get(name)) is not None]
        return number(fmean(values), 3) if values else "-"

    rows = [[*pair, *(cells(masks, name) for name in (*MASKS, *STRENGTH))] for pair, masks in groups.items() if masks]
    return markdown(["base", "arm", *MASKS, *STRENGTH], rows) if rows else ""


def _game(record: Record) -> dict[str, float | None]:
    metrics = record.summary.get("metrics", {})
    return record.summary["masks"] | {name: metrics.get(f"adversary/{name}") for name in STRENGTH}


def facts_table(records: Sequence[Record]) -> str:
    """Return what the runs were made of and on; several values where they differ."""
    rows = [[name.replace("_", " "), values(records, methodcaller("get", name))] for name in FACTS]
    packages = dict.fromkeys(name for record in records for name in record.summary["versions"])
    rows += [[name, _in_common(record.summary["versions"].get(name) for record in records)] for name in packages]
    return markdown(["", ""], [row for row in rows if row[1]])


def values(records: Sequence[Record], get: Callable[[dict[str, Any]], Any]) -> str:
    """Return what the runs have in common, or all that they have where they differ."""
    return _in_common(get(record.summary) for record in records)


def _in_common(found: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(found) if value is not None)


def _groups(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.base, arm_order(r.arm), r.seed)):
        groups.setdefault((record.base, record.arm), []).append(record)
    return groups


def _median(records: Iterable[Record], key: str) -> float | None:
    values = [record.summary[key] for record in records if record.summary.get(key) is not None]
    return float(median(values)) if values else None


def _ratio(value: float | None, reference: float | None) -> str:
    return f"{number(value / reference, 2)}x" if value and reference else "-"
