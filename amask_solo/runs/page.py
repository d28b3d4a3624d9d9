"""Write ``report.html`` of a run, with its settings, results, curves and masks."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amask_solo.curves import read_curves
from amask_solo.evaluation.results import EVALUATION, read_results
from amask_solo.layout import CONFIG, METRICS, SUMMARY
from amask_solo.visualization.page import write_page
from amask_solo.visualization.panels import drawn_panels, save_panel
from amask_solo.visualization.plots import run_curves

LOSS = re.compile(r"train_(?!.*class).*(loss|neg_cos_sim)_epoch")
"""The columns in which the host logs its objective."""

CURVES: dict[str, str | re.Pattern[str]] = {
    "self-supervised loss": LOSS,
    "online kNN accuracy (%)": "val_knn_acc1",
    "online linear accuracy (%)": "val_acc1",
    "hidden area": "masks/area",
    "advantage (1 = random blocks)": "adversary/advantage",
    "attention (1 = another image's mask)": "adversary/attention",
}
"""Title -> the column of ``metrics.csv``, or a pattern for its name."""

PICTURE = "curves.png"


def write_run_page(folder: Path) -> None:
    """Write ``report.html`` into the folder of a finished run, or raise a ``UserError`` if that fails."""
    summary = json.loads((folder / SUMMARY).read_text())
    curves = read_curves(folder / METRICS, CURVES)
    text = [f"# {summary['method']} on {summary['data']}", _table(summary)]
    if curves:
        save_panel(run_curves(curves), folder / PICTURE)
        text += ["## Curves", f"![Curves]({PICTURE})"]
    sliders = {"Masks of the same images": drawn_panels(folder), "Hard views": drawn_panels(folder, "hard_views")}
    if any(sliders.values()):
        text += ["## Masks", "[sliders]"]
    scored = read_results(folder / EVALUATION)
    if results := scored.get("results"):
        text += [_scored_title(scored, summary), _scores(results), *_pictures(results, folder)]
    text += ["## Settings", f"```yaml\n{(folder / CONFIG).read_text()}```"]
    write_page(folder / "report.html", "\n\n".join(text) + "\n", sliders=sliders)
    (folder / PICTURE).unlink(missing_ok=True)


def _scored_title(scored: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return a title that says so if the run has gone on since it was scored."""
    after, now = scored.get("epochs"), summary.get("epochs_done")
    return "## Evaluation" + (f" after {after} of {now} epochs" if after not in (None, now) else "")


def _table(summary: Mapping[str, Any]) -> str:
    shown = ["status", "seed", "backbone", "image_size", "train_images", "val_images", "epochs_done", "batch_size"]
    shown += ["knn_acc1", "linear_acc1", "seconds", "seconds_per_step", "peak_memory_mib", "device", "host"]
    rows = [f"| {name.replace('_', ' ')} | {_cell(summary.get(name))} |" for name in shown]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _scores(results: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for result in results:
        what = result["protocol"] + (" of the teacher" if result.get("which") else "")
        rows += [f"| {what} | {result['data']} | {name} | {_cell(value)} |" for name, value in result["scores"].items()]
    return "\n".join(["| protocol | data | score | value |", "| --- | --- | --- | ---: |", *rows])


def _pictures(results: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """Return the pictures that protocols have left."""
    return [
        f'<img alt="{result["protocol"]} on {result["data"]}" src="{file}">'
        for result in results
        for file in result.get("files", ())
        if file.endswith(".png") and (folder / file).is_file()
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
