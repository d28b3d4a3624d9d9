"""What the benchmark writes: one JSON file, and tables for the eye."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from amask_solo.hosts.installed import load_host
from amask_solo.versions import commit, versions

STEP = (
    *("backbone", "size", "batch", "method", "arm"),
    *("ratio", "cpu_ratio", "seconds", "images_per_second", "peak_mib", "waits"),
)
COLUMNS = {
    "step": STEP,
    "systems": STEP,
    "tokens": STEP,
    "memory": (
        "backbone",
        "size",
        "batch",
        "method",
        "arm",
        "peak_mib",
        "to_one_mask",
        "ratio",
        "cpu_ratio",
        "seconds",
    ),
    "shares": ("backbone", "size", "batch", "arm", "part", "share"),
    "views": ("way", "size", "stored", "batch", "images_per_second", "ratio"),
    "epoch": ("backbone", "size", "batch", "images", "workers", "arm", "ratio", "seconds", "start_seconds"),
}
"""The columns of each part's table; the JSON has all that was measured."""

DIGITS = {"images_per_second": 0, "peak_mib": 0}


def environment(device: torch.device, seed: int) -> dict[str, Any]:
    """Return what the numbers depend on: device, versions, threads, load of the machine, seed, commit, date."""
    cuda = device.type == "cuda"
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if cuda else _processor(),
        "precision": "bf16-mixed, channels_last" if cuda else "32-true",
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "seed": seed,
        "host": load_host().generation,
        "versions": versions(),
    }
    if cuda:
        facts["versions"]["cuda"] = torch.version.cuda
    made_by = commit(Path(__file__).parent) or "unknown"
    return facts | {"commit": made_by, "date": datetime.now(UTC).isoformat(timespec="minutes")}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(path: Path, part: str, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Put a part into the file, in place of an older one, and leave the other parts as they are."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[part] = {"environment": facts, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(known), indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_rounded(below) for below in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def show(part: str, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Print a part as a table."""
    about = f"{facts['device']}, {facts['threads']} threads, {facts['precision']}, torch {facts['versions']['torch']}"
    columns = [name for name in COLUMNS[part] if any(name in row for row in rows)]
    table = Table(title=f"{part}: {about}", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if isinstance(rows[0].get(name), float) else "left")
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)) for name in columns))
    Console(width=160).print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.{DIGITS.get(name, 3)}f}" if isinstance(value, float) else str(value)
