"""End a command that ran several jobs (``-m``) with one table of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

Rows = list[Mapping[str, str | float | None]]
"""Column -> value of each job."""


@contextmanager
def table_at_the_end() -> Iterator[Rows]:
    """Collect a row of each job, and print the table if there are several; jobs in other processes have no row."""
    rows: Rows = []
    try:
        yield rows
    finally:
        if len(rows) > 1:
            Console(markup=False, highlight=False).print(sweep_table(rows))


def sweep_table(rows: Rows) -> Table:
    """Return a table with the columns of all rows; the first one names the job."""
    table = Table(title=f"{len(rows)} jobs", title_justify="left")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for n, column in enumerate(columns):
        table.add_column(column, justify="right" if n else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
