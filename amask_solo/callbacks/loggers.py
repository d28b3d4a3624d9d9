"""Loggers: always ``metrics.csv`` in the run folder, and optionally wandb."""

import csv as csv_format
import io
import math
import os
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4
from warnings import warn

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from amask_solo.errors import UserError, one_line
from amask_solo.files import cannot_write, write_whole
from amask_solo.layout import METRICS


class MetricsFile(Logger):
    """Write ``metrics.csv`` in a run folder with one row for each logged step.

    Unlike Lightning's CSV logger, it joins the values that training, validation and callbacks log in one step, and it
    continues the file of an interrupted run: rows from the step of the resume on (:meth:`begin`) are replaced.
    """

    name = version = ""  # no sub-folder

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__()
        self.path = Path(save_dir) / METRICS
        self._columns: list[str] = []
        self._row: dict[str, Any] = {}
        self._end = 0  # length of the file without the row that is still growing
        self._begin: int | float = math.inf

    def begin(self, step: int) -> None:
        """Say at which step the run begins or goes on, so that no later rows of an earlier try stay."""
        self._begin = step

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing, because the run folder has ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add numbers to the row of a step, and write the row."""
        step = int(self._row.get("step", 0) if step is None else step)
        if self._row.get("step") != step:
            self._end = self.path.stat().st_size if self._row else 0
            self._row = {"step": step}
        self._row |= {name: f"{value:.7g}" for name, value in metrics.items()}
        if not self._row.keys() <= set(self._columns):
            self._rewrite(before=min(step, self._begin))
            self._begin = math.inf
        self._write_last(self._text([self._row]))

    def _rewrite(self, *, before: int | float) -> None:
        """Rewrite the rows before a step, with the columns that the row of this step needs."""
        rows = [row for row in self._whole_rows() if int(row["step"]) < before]
        columns = self._columns or (list(rows[0]) if rows else ["step", "epoch"])
        self._columns = columns + sorted(self._row.keys() - set(columns))
        text = ",".join(self._columns) + "\r\n" + self._text(rows)
        write_whole(self.path, text)
        self._end = len(text.encode())

    def _whole_rows(self) -> list[dict[str, str]]:
        """Return the rows of the file up to the first one that is damaged, which is named in a warning."""
        written = self.path.read_bytes().decode(errors="replace") if self.path.is_file() else ""
        # A row without a line end was cut off by a crash.
        lines = written[: written.rfind("\n") + 1].splitlines(keepends=True)
        columns = next(csv_format.reader(lines[:1]), [])
        whole = list(takewhile(lambda line: _is_row(line, columns), lines[1:]))
        if len(whole) < len(lines[1:]):
            where = f"{self.path} is damaged from line {len(whole) + 2} on"
            warn(f"{where}, as after a crash of the machine; going on with the rows before it.", stacklevel=2)
        return list(csv_format.DictReader([*lines[:1], *whole]))

    def _write_last(self, row: str) -> None:
        try:
            os.truncate(self.path, self._end)
            with self.path.open("a", newline="") as file:
                file.write(row)
        except OSError as error:
            os.truncate(self.path, self._end)
            raise cannot_write(self.path, error) from error

    def _text(self, rows: list[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv_format.DictWriter(text, self._columns).writerows(rows)
        return text.getvalue()


def _is_row(line: str, columns: Sequence[str]) -> bool:
    values = [] if "\0" in line else next(csv_format.reader([line]), [])
    return "step" in columns and len(values) == len(columns) and values[columns.index("step")].isdecimal()


def csv(save_dir: str | Path, name: str) -> list[Logger]:  # noqa: ARG001
    """Return the logger of ``metrics.csv`` in the run folder ``save_dir``; ``name`` is not used."""
    return [MetricsFile(save_dir)]


def wandb(
    save_dir: str | Path, name: str, *, project: str = "amask-solo", mode: str = "online", entity: str | None = None
) -> list[Logger]:
    """Return the loggers of ``metrics.csv`` and of Weights & Biases.

    Args:
        save_dir: The run folder; wandb's files are in its sub-folder ``wandb``.
        name: The name of the run.
        project: The project on wandb.
        mode: ``"online"``, or ``"offline"``, which needs neither account nor network.
        entity: The user or team on wandb; by default that of the account.

    Raises:
        ValueError: If ``mode`` is unknown.
        UserError: If wandb is not installed, or there is no account or network for it.
    """
    if mode not in ("online", "offline"):
        raise ValueError(f"Expected mode to be 'online' or 'offline', but got {mode!r}.")
    try:
        logger = WandbLogger(
            name=name,
            # The process that writes for wandb may have been started in another working directory.
            save_dir=Path(save_dir).absolute(),
            project=project,
            entity=entity,
            offline=mode == "offline",
            version=_run_id(Path(save_dir)),
        )
        logger._wandb_init.pop("anonymous", None)  # Lightning gives it, and wandb warns of it in each run
        _ = logger.experiment  # this logs in
    except ModuleNotFoundError as error:
        raise UserError("logger=wandb needs wandb: pip install 'amask-solo[wandb]'.") from error
    except Exception as error:  # wandb's own kinds of errors change
        raise UserError(
            f"logger=wandb: {one_line(error)} Log in by 'wandb login', or give logger.mode=offline, which needs no "
            "account."
        ) from error
    return [MetricsFile(save_dir), logger]


@rank_zero_only
def _run_id(folder: Path) -> str | None:
    # A resumed run continues its curves.
    file = folder / "wandb" / "run_id"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid4().hex[:8])
    return file.read_text()


def begin(loggers: Iterable[Logger], step: int) -> None:
    """Tell ``metrics.csv`` at which step the run begins or goes on."""
    for logger in loggers:
        if isinstance(logger, MetricsFile):
            logger.begin(step)


def finish(loggers: Iterable[Logger]) -> None:
    """Close the run on wandb; otherwise, the next run of a sweep would log to it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish()
