"""amask-pretrain: pretrain a method, masked or stock."""

import math
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from amask_solo.cli.jobs import own_place, places
from amask_solo.cli.main import command
from amask_solo.cli.next_steps import next_steps
from amask_solo.cli.sweep_table import add_row, table_at_the_end
from amask_solo.runs.run_folder import find, is_first
from amask_solo.settings.pretraining import check_downloaded, check_imported, check_values_and_names
from amask_solo.settings.trainer import check_device


def main() -> None:
    """Run the command."""
    with table_at_the_end() as rows:
        command("pretrain", partial(_run, rows), started=partial(places, rows))


def _run(rows: Path, cfg: DictConfig) -> Any:
    # The imports take seconds, so the checks come first.
    check_values_and_names(cfg)
    check_downloaded(cfg.data)
    folder, checkpoint = find(cfg)
    if is_first():
        own_place(rows, folder, "Put the swept key into name=..., as in name=lr${optimizer.lr}.")
    check_device(cfg.trainer)
    check_imported(cfg)
    from amask_solo.runs.pretrain import pretrain

    summary = pretrain(cfg, folder, checkpoint)
    if summary:
        shown = ("status", "knn_acc1", "linear_acc1", "seconds_per_step")
        add_row(rows, {"run": str(folder)} | {name.replace("_", " "): summary.get(name) for name in shown})
        # Names may look like markup.
        Console(markup=False).print(_table(summary, folder))
        Console(markup=False, highlight=False, soft_wrap=True).print(
            next_steps(cfg, folder, labeled=bool(summary.get("classes", 1)))
        )
    return summary.get("knn_acc1")


def _table(summary: dict[str, Any], folder: Path) -> Table:
    table = Table(title=f"{summary['method']} on {summary['data']}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    rows = {
        "image size": f"{summary['image_size']} px",
        "epochs": f"{summary['epochs_done']} of {summary['epochs']}",
        "online kNN accuracy": _number(summary["knn_acc1"], " %"),
        "online linear accuracy": _number(summary["linear_acc1"], " %"),
        "hidden area": _number(100 * summary["masks"].get("area", float("nan")), " %"),
        "seconds per step": _number(summary["seconds_per_step"], "", digits=3),
        "peak memory": _number(summary["peak_memory_mib"], " MiB", digits=0),
        "run folder": folder,
        "mask pictures": folder / "masks" if (folder / "masks").is_dir() else "none",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _number(value: int | float | None, unit: str, *, digits: int = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}{unit}"


if __name__ == "__main__":
    main()
