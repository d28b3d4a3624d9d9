"""End a command that ran several jobs (``-m``) with one table of them, in whichever processes they ran."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

Row = Mapping[str, str | float | None]
"""Column -> value of a job."""


class Rows:
    """The rows of the jobs, in a folder, where a launcher's processes on this machine leave theirs."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def add(self, row: Row) -> None:
        """Add the row of the present job."""
        hydra: Any = HydraConfig.get()
        number = OmegaConf.select(hydra, "job.num", default=0)
        with suppress(FileNotFoundError):  # a job on another machine
            (self.folder / f"{number}.json").write_text(json.dumps(row))

    def read(self) -> list[Row]:
        """Return the rows in the order of the jobs."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: int(file.stem))
        return [json.loads(file.read_text()) for file in files]


@contextmanager
def table_at_the_end() -> Iterator[Rows]:
    """Collect a row of each job, and print the table if there are several."""
    with tempfile.TemporaryDirectory(prefix="amask-") as folder:
        rows = Rows(folder)
        try:
            yield rows
        finally:
            if len(found := rows.read()) > 1:
                Console(markup=False, highlight=False).print(sweep_table(found))


def sweep_table(rows: list[Row]) -> Table:
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
