"""The tables of docs/costs.md, made of the JSON files under ``benchmarks/``."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- costs: made by scripts/benchmark.py --page -->", "<!-- end of costs -->"
METHODS = {"simclr": "SimCLR", "byol": "BYOL", "simsiam": "SimSiam", "mocov2plus": "MoCo v2+"}
ARMS = {
    "stock": "the stock method against itself",
    "default": "the default: one sequential mask, reversal",
    "one, sequential_three, reversal": "one drawn of three masks, sequential, reversal",
    "one, simultaneous, reversal": "one drawn of four masks, simultaneous, reversal",
    "one, sequential_three, alternating": "one drawn of three masks, sequential, alternating",
    "one, simultaneous, alternating": "one drawn of four masks, simultaneous, alternating",
    "N=4, sequential_three, reversal": "all of N = 4 masks, sequential, reversal",
    "N=4, simultaneous, reversal": "all of N = 4 masks, simultaneous, reversal",
    "N=4, sequential_three, alternating": "all of N = 4 masks, sequential, alternating",
    "N=4, simultaneous, alternating": "all of N = 4 masks, simultaneous, alternating",
    "adios-reference": "N = 4, every view encoded anew in each of two phases, as the code of ADIOS does",
}
Rows = list[dict[str, Any]]


def update_page(page: Path, benchmarks: Path) -> None:
    """Replace the tables of a page.

    Raises:
        ValueError: If the page has no place for them.
    """
    fill(page, cost_tables(benchmarks), between=(BEGIN, END))


def fill(page: Path, text: str, *, between: tuple[str, str]) -> None:
    """Replace what stands on a page between two lines.

    Raises:
        ValueError: If the page lacks one of them.
    """
    first, last = between
    before, begin, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"Expected the lines '{first}' and '{last}' in {page}.")
    page.write_text(f"{before}{first}\n\n{text}\n{last}{after}")


def cost_tables(benchmarks: Path) -> str:
    """Return the tables of all devices, in Markdown."""
    parts = {
        "step": _steps,
        "systems": _systems,
        "tokens": _systems,
        "memory": _memory,
        "shares": _shares,
        "epoch": _epochs,
        "views": _views,
    }
    texts = []
    for path in sorted(benchmarks.glob("*.json")):
        measured = json.loads(path.read_text())
        for part, table in parts.items():
            if part in measured:
                rows, facts = measured[part]["rows"], measured[part]["environment"]
                texts.append(_about(path.name, part, rows, facts) + table(rows))
    return "\n".join(texts)


TITLES = {
    "step": "Seconds a training step, relative to the stock method's (half of the measured ratios lie in brackets)",
    "systems": "Seconds a training step of the published systems, likewise",
    "tokens": "Seconds a training step of a vision transformer, half of one view hidden, likewise",
    "memory": "Peak memory of a step of masked BYOL, and its time",
    "shares": "Where the time of a step of masked BYOL goes, in %",
    "epoch": "An epoch of BYOL from image files",
    "views": "Two views of each uint8 image, images/s (relative to torchvision in the same process)",
}


def _about(file: str, part: str, rows: Rows, facts: dict[str, Any]) -> str:
    threads = f", {facts['threads']} thread{'s' * (facts['threads'] > 1)}" if "cuda" not in facts["versions"] else ""
    where = (
        f"{facts['device']}{threads}, {facts['precision']}, torch {facts['versions']['torch']}, {facts['date'][:10]}"
    )
    settings = _unique(_setting(row) for row in rows if "backbone" in row)
    common = f" {settings[0]};" if len(settings) == 1 else ""
    return f"**{TITLES[part]}.**{common} {where} (`benchmarks/{file}`).\n\n"


def _setting(row: dict[str, Any]) -> str:
    return f"{row['backbone']}, {row['size']} px, batch {row['batch']}"


def _told_apart(name: str, row: dict[str, Any], rows: Rows) -> str:
    """Return a name with its setting, if there are several."""
    return name if len(_unique(map(_setting, rows))) == 1 else f"{name}, {_setting(row)}"


def _steps(rows: Rows) -> str:
    columns: dict[str, dict[str, Any]] = {}
    for row in rows:
        columns.setdefault(_told_apart(METHODS[row["method"]], row, rows), row)
    by_place = {(row["arm"], row["method"], _setting(row)): row for row in rows}
    lines = []
    for arm, title in ARMS.items():
        cells = [by_place.get((arm, row["method"], _setting(row)), {}) for row in columns.values()]
        if any(cells):
            lines.append([title, *(_ratio(cell) for cell in cells)])
    return _table(["", *columns], lines)


def _systems(rows: Rows) -> str:
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["arm"] != "stock":
            lines.setdefault(row["arm"], {})[row["method"]] = _ratio(row)
    methods = _unique(row["method"] for row in rows)
    table = ([arm, *(cells.get(method, "-") for method in methods)] for arm, cells in lines.items())
    return _table(["", *(METHODS[method] for method in methods)], table)


def _ratio(row: dict[str, Any]) -> str:
    if "ratio" not in row:
        return "-"
    low, high = row["quartiles"]
    return f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"


def _memory(rows: Rows) -> str:
    lines = [
        [_told_apart(row["arm"], row, rows), f"{row['peak_mib']:.0f} MiB", f"{row['to_one_mask']:.2f}", _ratio(row)]
        for row in rows
        if "to_one_mask" in row
    ]
    return _table(["", "peak", "to N = 1", "time to N = 8"], lines)


def _shares(rows: Rows) -> str:
    arms = _unique(row["arm"] for row in rows)
    lines: dict[str, list[str]] = {}
    for row in rows:
        lines.setdefault(_told_apart(row["part"], row, rows), []).append(f"{100 * row['share']:.1f}")
    return _table(["", *arms], ([part, *shares] for part, shares in lines.items()))


def _epochs(rows: Rows) -> str:
    lines = [
        [row["arm"], f"{row['ratio']:.2f}", f"{row['seconds']:.1f} s", f"{row['start_seconds']:.1f} s"] for row in rows
    ]
    return _table(
        [f"{rows[0]['images']} images, {rows[0]['workers']} workers", "ratio", "an epoch", "once, before"], lines
    )


def _views(rows: Rows) -> str:
    sizes = _unique(row["size"] for row in rows)
    lines: dict[str, list[str]] = {}
    for row in rows:
        lines.setdefault(row["way"], []).append(f"{row['images_per_second']:,.0f} ({row['ratio']:.1f})")
    return _table(["", *(f"{size} px" for size in sizes)], ([way, *rates] for way, rates in lines.items()))


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(re.sub(r" +", " ", f"| {' | '.join(row)} |\n") for row in rows)
