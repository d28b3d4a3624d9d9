"""amask-pretrain: pretrain a method, masked or stock."""

import math
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from amask_solo.cli.main import command
from amask_solo.cli.sweep_table import Rows, table_at_the_end
from amask_solo.layout import PREFIX
from amask_solo.runs.run_folder import find
from amask_solo.settings.pretraining import check_imported, check_values_and_names


def main() -> None:
    """Run the command."""
    with table_at_the_end() as rows:
        command("pretrain", partial(_run, rows))


def _run(rows: Rows, cfg: DictConfig) -> Any:
    # The imports take seconds, so the checks come first.
    check_values_and_names(cfg)
    folder, checkpoint = find(cfg)
    check_imported(cfg)
    from amask_solo.runs.pretrain import pretrain

    summary = pretrain(cfg, folder, checkpoint)
    if summary:
        shown = ("status", "knn_acc1", "linear_acc1", "seconds_per_step")
        rows.append({"run": str(folder)} | {name.replace("_", " "): summary.get(name) for name in shown})
        Console().print(_table(summary, folder))
        Console(highlight=False, soft_wrap=True).print(_next(cfg, folder), markup=False)
    return summary.get("knn_acc1")


def _table(summary: dict[str, Any], folder: Path) -> Table:
    table = Table(title=f"{summary['method']} on {summary['data']}", show_header=False, title_justify="left")
    rows = {
        "image size": f"{summary['image_size']} px",
        "epochs": summary["epochs_done"],
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


def _next(cfg: DictConfig, folder: Path) -> str:
    """Return a text with the next commands for a run."""
    from amask_solo.visualization import drawn_panels

    ckpt = shlex.quote(f"ckpt={folder}")
    own = ("method", "name", "seed", "run_folder", "resume", "overwrite", "logger")
    hydra: Any = HydraConfig.get()
    typed = [word for word in hydra.overrides.task if word.lstrip("+~").partition("=")[0] not in own]
    pictures = drawn_panels(folder)
    steps = {
        "look": f"{folder}/report.html, a page for the browser" + (f"; {pictures[-1]}" if pictures else ""),
        "evaluate": f"amask-evaluate {ckpt}",
        "compare": shlex.join(["amask-compare", *_folders(hydra), f"base=[{cfg.method.removeprefix(PREFIX)}]", *typed]),
        "export": f"amask-export {ckpt} format=timm",
    }
    return "Next\n" + "\n".join(f"  {name:<10}{what}" for name, what in steps.items())


def _folders(hydra: DictConfig) -> list[str]:
    """Return the arguments that name the user's folders of configuration files."""
    named = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    searched = [word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath=")]
    return [*(word for path in named for word in ("--config-dir", os.path.relpath(path))), *searched]


def _number(value: int | float | None, unit: str, *, digits: int = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}{unit}"


if __name__ == "__main__":
    main()
