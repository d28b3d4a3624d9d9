"""The README's tables of costs, made of the JSON files under ``benchmarks/``."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- costs: made by scripts/benchmark.py --readme -->", "<!-- end of costs -->"
METHODS = {"simclr": "SimCLR", "byol": "BYOL", "simsiam": "SimSiam"}
ARMS = {
    "stock": "the stock method against itself",
    "one, sequential, reversal": "one drawn mask, sequential, reversal (the default)",
    "one, simultaneous, reversal": "one drawn mask, simultaneous, reversal",
    "one, sequential, alternating": "one drawn mask, sequential, alternating",
    "N=4, sequential, reversal": "all of N = 4 masks, sequential, reversal",
    "N=4, simultaneous, reversal": "all of N = 4 masks, simultaneous, reversal",
    "N=4, sequential, alternating": "all of N = 4 masks, sequential, alternating",
    "N=4, simultaneous, alternating": "all of N = 4 masks, simultaneous, alternating",
    "adios-reference": "N = 4, every view encoded anew in each of two phases, as the code of ADIOS does",
}
Rows = list[dict[str, Any]]


def update_readme(readme: Path, benchmarks: Path) -> None:
    """Replace the tables in the README.

    Raises:
        ValueError: If the README has no place for them.
    """
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"Expected the lines '{BEGIN}' and '{END}' in {readme}.")
    readme.write_text(f"{before}{BEGIN}\n\n{cost_tables(benchmarks)}\n{END}{after}")


def cost_tables(benchmarks: Path) -> str:
    """Return the tables of all devices, in Markdown."""
    parts = {"step": _steps, "memory": _memory, "shares": _shares, "epoch": _epochs, "views": _views}
    texts = []
    for path in sorted(benchmarks.glob("*.json")):
        measured = json.loads(path.read_text())
        texts += [
            _about(path.name, part, measured[part]["environment"]) + table(measured[part]["rows"])
            for part, table in parts.items()
            if part in measured
        ]
    return "\n".join(texts)


def _about(file: str, part: str, facts: dict[str, Any]) -> str:
    title = {
        "step": "Seconds a training step, relative to the stock method's (half of the measured ratios lie in brackets)",
        "memory": "Peak memory of a step of masked BYOL, and its time",
        "shares": "Where the time of a step of masked BYOL goes, in %",
        "epoch": "An epoch of BYOL from image files",
        "views": "Two views of each uint8 image, images/s",
    }[part]
    threads = f", {facts['threads']} threads" if "cuda" not in facts["versions"] else ""
    where = f"{facts['device']}{threads}, {facts['precision']}, torch {facts['versions']['torch']}"
    return f"**{title}.** {where}, {facts['date'][:10]} (`benchmarks/{file}`).\n\n"


def _setting(row: dict[str, Any]) -> str:
    return f"{row['backbone']}, {row['size']} px, batch {row['batch']}"


def _steps(rows: Rows) -> str:
    columns = _unique((row["method"], _setting(row)) for row in rows)
    head = [f"{METHODS[method]}, {setting}" for method, setting in columns]
    by_place = {(row["arm"], row["method"], _setting(row)): row for row in rows}
    lines = []
    for arm, title in ARMS.items():
        cells = [by_place.get((arm, *column), {}) for column in columns]
        if any(cells):
            lines.append([title, *(_ratio(cell) for cell in cells)])
    return _table(["", *head], lines)


def _ratio(row: dict[str, Any]) -> str:
    if "ratio" not in row:
        return "-"
    low, high = row["quartiles"]
    return f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"


def _memory(rows: Rows) -> str:
    lines = [
        [f"{row['arm']} ({_setting(row)})", f"{row['peak_mib']:.0f} MiB", f"{row['to_one_mask']:.2f}", _ratio(row)]
        for row in rows
        if "to_one_mask" in row
    ]
    return _table(["", "peak", "to N = 1", "time to N = 8"], lines)


def _shares(rows: Rows) -> str:
    arms, parts = _unique(row["arm"] for row in rows), _unique(row["part"] for row in rows)
    settings = _unique(_setting(row) for row in rows)
    by_place = {(_setting(row), row["arm"], row["part"]): row["share"] for row in rows}
    lines = [
        [f"{part} ({setting})", *(f"{100 * by_place[setting, arm, part]:.0f}" for arm in arms)]
        for setting in settings
        for part in parts
    ]
    return _table(["", *arms], lines)


def _epochs(rows: Rows) -> str:
    lines = [
        [row["arm"], f"{row['ratio']:.2f}", f"{row['seconds']:.1f} s", f"{row['start_seconds']:.1f} s"] for row in rows
    ]
    setting = f"{rows[0]['images']} images, {_setting(rows[0])}, {rows[0]['workers']} workers"
    return _table([setting, "ratio", "an epoch", "once, before"], lines)


def _views(rows: Rows) -> str:
    ways, sizes = _unique(row["way"] for row in rows), _unique(row["size"] for row in rows)
    rates = {(row["way"], row["size"]): row["images_per_second"] for row in rows}
    lines = [[way, *(f"{rates[way, size]:,.0f}" for size in sizes)] for way in ways]
    return _table(["", *(f"{size} px" for size in sizes)], lines)


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(re.sub(r" +", " ", f"| {' | '.join(row)} |\n") for row in rows)
