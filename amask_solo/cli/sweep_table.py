"""End a command that ran several jobs (``-m``) with one table of them, in whichever processes they ran."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from amask_solo.cli.jobs import job_number

Row = Mapping[str, str | float | None]
"""Column -> value of a job."""


def add_row(folder: Path, row: Row) -> None:
    """Leave the row of the present job in a folder, as the processes of a launcher on this machine do."""
    with suppress(FileNotFoundError):  # a job on another machine
        (folder / f"{job_number()}.json").write_text(json.dumps(row))


@contextmanager
def table_at_the_end() -> Iterator[Path]:
    """Yield a folder for a row of each job, and print a table of them if there are several."""
    with tempfile.TemporaryDirectory(prefix="amask-") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
            if len(files) > 1:
                Console(markup=False, highlight=False).print(_table([json.loads(file.read_text()) for file in files]))


def _table(rows: list[Row]) -> Table:
    """Return a table with the columns of all rows; the first one names the job. A job that failed has left none."""
    table = Table(title=f"{len(rows)} finished jobs", title_justify="left")
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
