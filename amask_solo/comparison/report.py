"""The report of a comparison: ``report.md``, ``.html``, ``.csv`` and ``.tex``, plots and mask panels."""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amask_solo.comparison.alike import trained_unlike
from amask_solo.comparison.convergence import APART, CLOSE, Convergence, convergence, convergence_table
from amask_solo.comparison.convergence import unfinished as unfinished_networks
from amask_solo.comparison.cost import COST_NOTE, cost_table
from amask_solo.comparison.hidden import AREA_NOTE, EXPLOITABILITY_NOTE, exploitability_table, exploited, hidden_parts
from amask_solo.comparison.pictures import (
    draw_accuracy_against_time,
    draw_differences,
    draw_exploitability,
    draw_hidden_area,
    draw_training_curves,
    mask_panels,
)
from amask_solo.comparison.records import Record
from amask_solo.comparison.scores import metric_name, scale
from amask_solo.comparison.settings import settings_parts, values
from amask_solo.comparison.split import MEANING, TITLES, scored_kind
from amask_solo.comparison.statistics import CONFIDENCE, Row, compare, in_order
from amask_solo.comparison.tables import Table, csv_text, difference_table, mask_table, mean_table
from amask_solo.comparison.wording import answer, caution, over_images
from amask_solo.errors import unknown_key
from amask_solo.files import write_whole
from amask_solo.visualization.page import write_page

METRICS: tuple[str, ...] = ("linear/acc1", "linear/acc1_small", "linear/acc1_unmarked", "knn/acc1")
METRICS += ("robustness/acc1_curve", "robustness/acc1_outlines")
METRICS += ("attack/acc1_attack", "attack/acc1_worst", "greedy/acc1_greedy_curve", "transfer/mean_linear_acc1")
"""What is compared where the protocols have been run."""

MOST = 10
"""So many runs that are not shown are named."""

ACCURACY_NOTE = f"""\
Percent, and differences in points, where nothing else is said; mean ± standard deviation over seeds. A difference is
the mean over pairs of runs with the same base and seed, with its {100 * CONFIDENCE:.0f} % confidence interval over
seeds (Student's t), and with the corrected one, which holds for all differences of the table at once (Bonferroni). The
interval over images is that of a paired bootstrap over the scored images, with the runs as they are; it is not
corrected. "All alike": nothing varies, so there is no interval. "All bases" takes the pairs of all bases together, as
if they were alike; it says nothing about other bases."""

MASK_NOTE = """\
In the last epoch, means over seeds. Area: the share of the image that a mask hides. Entropy: 0 for binary masks, 1
where all pixels are half hidden. Overlap: the share of the image that both of two masks hide. Diversity: the standard
deviation of a pixel of a mask between images, 0 if all images get the same masks. Advantage: how much the masks raise
the loss, relative to random blocks of the same area; 1 is chance. Attention: the same relative to the masks of other
images; 1 if it does not matter which image. Both are of the last five epochs that measured them."""


TIME_NOTE = """\
One point a run, and the mean of each arm's runs with error bars of a standard deviation. Time is wall time: other work
of the machine and its pauses are in it."""

CONVERGENCE_NOTE = f"""\
Online kNN accuracy, mean over the seeds that all arms of a base have, if there are any. An arm has converged if it
moved by less than {CLOSE:.0f} points in the second half of training, and changed places with no arm that it differs
from by more than {APART:.0f}."""

DIFFERENCE_NOTE = """\
The picture has the paired difference to stock, mean over seeds in the band from the lowest to the highest; of runs with
as many epochs, since the schedules of others are at another point."""


def write_report(
    records: Sequence[Record],
    tables: Mapping[str, Sequence[Row]],
    folder: Path,
    *,
    command: str,
    settings: Sequence[str],
    commit: str | None,
    split: str,
    arms: Mapping[str, Sequence[str]],
    protocols: Mapping[str, Any],
    unfinished: Mapping[str, str],
    not_shown: Sequence[str],
    budget: str,
) -> Path:
    """Write the report into the folder of a comparison, over an earlier one.

    Args:
        records: The finished runs.
        tables: What they say by each metric, see :func:`compared`; the first one gives the answer.
        folder: Where ``report.md``, ``report.html``, ``report.csv``, ``report.tex`` and the pictures go.
        command: What reproduces the comparison.
        settings: What all runs share, as arguments of ``amask-pretrain``.
        commit: Of the code; none if it is not known.
        split: On which images the runs were scored.
        arms: What defines each arm, as arguments of ``amask-pretrain``.
        protocols: The settings of each protocol.
        unfinished: Runs that are missing or failed, with the reason.
        not_shown: Finished runs of the same folder that were not asked for.
        budget: What is equal for all arms, ``epochs`` or ``time``.

    Returns:
        ``report.md``.
    """
    records = in_order(records)
    write_whole(folder / "report.csv", csv_text(records))
    drawn, moved = mask_panels(records), convergence(records)
    panels = _panels(drawn, folder)
    shown = _shown_tables(records, tables, moved)
    write_whole(folder / "report.tex", _latex(shown))
    left = [f"- `{run}`: {why}" for run, why in unfinished.items()]
    parts = [
        f"# {TITLES[split]}",
        _warning(len(left), len(records)),
        _left_out(not_shown),
        *_answer(tables, records),
        trained_unlike(records),
        hidden_parts(records),
        unfinished_networks(moved, records),
        _scored_on(records, split),
        *_results(shown, tables),
        *_picture_sections(records, tables, folder),
        *_convergence(shown, records, folder),
        panels,
        _section("Settings", *settings_parts(records, settings, arms, protocols, budget)),
        _section("Reproduce", f"```bash\n{command}\n```", f"Commit: {commit or 'not known'}."),
        *([_section("Missing runs", "\n".join(left))] if left else []),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    # The page has a slider through the epochs.
    moving = text.replace(panels, _section("Mask panels", "On the same images.", "[sliders]")) if panels else text
    sliders = {f"{arm} ({run})": pictures for arm, (run, pictures) in drawn.items()}
    write_page(folder / "report.html", moving, sliders=sliders)
    path = folder / "report.md"
    write_whole(path, text)
    return path


def compared(records: Sequence[Record], metrics: Sequence[str] | None = None) -> dict[str, list[Row]]:
    """Return what the runs say by each of the :func:`chosen_metrics`; those that compare nothing are left out.

    Raises:
        UserError: If no run has a metric that is asked for.
    """
    records = in_order(records)
    return {metric: rows for metric in chosen_metrics(records, metrics) if (rows := compare(records, metric))}


def chosen_metrics(records: Sequence[Record], metrics: Sequence[str] | None) -> list[str]:
    """Return what to compare, as ``protocol/score``: what is asked for; else those of :data:`METRICS` that there are.

    If there is none of these, it is the first score of each protocol.

    Raises:
        UserError: If no run has a metric that is asked for.
    """
    known = dict.fromkeys(score for record in records for score in record.scores)
    if unknown := [metric for metric in metrics or () if known and metric not in known]:
        raise unknown_key(unknown[0], known, "metrics", kind="score")
    first = {score.rpartition("/")[0]: score for score in reversed(known)}
    return list(metrics or ()) or [metric for metric in METRICS if metric in known] or [*first.values()][::-1]


def _section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def _scored_on(records: Sequence[Record], split: str) -> str:
    numbers = {part: values(records, f"{part}_images") for part in ("train", "val")}
    kinds = " or ".join(dict.fromkeys(scored_kind(record.images) for record in records)) or "validation"
    # A comparison that has only just begun does not know them.
    return " ".join(MEANING[split].format(kind=kinds, **numbers).split())


def _warning(left: int, finished: int) -> str:
    said = f"**Unfinished: {left} of {left + finished} runs are missing here.** The last section names them."
    return said if left else ""


def _left_out(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:MOST]) + (f" and {len(names) - MOST} more" if names[MOST:] else "")
    said = f"**Finished runs not shown here: {shown}.** The intervals hold if they were left out before they were seen."
    return said if names else ""


def _answer(tables: Mapping[str, Sequence[Row]], records: Sequence[Record]) -> Iterator[str]:
    metric = next(iter(tables), "")
    yield answer(tables.get(metric, []), metric)
    if tables:
        counts = {record.summary.get("val_images") for record in records}
        yield over_images(tables.values(), counts.pop() if len(counts) == 1 else None)
        yield caution(tables.values())


def _shown_tables(
    records: Sequence[Record], tables: Mapping[str, Sequence[Row]], moved: Sequence[Convergence]
) -> dict[str, list[Table]]:
    """Return the tables of each section; those without rows are left out."""
    shown = {
        f"By {metric_name(metric)}": [mean_table(rows, scale(metric)), difference_table(rows, scale(metric))]
        for metric, rows in tables.items()
    }
    shown |= {"Cost": [cost_table(records)], "Masks": [mask_table(records)], "Convergence": [convergence_table(moved)]}
    return {title: kept for title, made in shown.items() if (kept := [table for table in made if table.rows])}


def _latex(shown: Mapping[str, Sequence[Table]]) -> str:
    tables = [table.latex(title) for title, made in shown.items() for table in made]
    return "\n\n".join([r"% The preamble needs \usepackage{booktabs}.", *tables]) + "\n"


def _results(shown: Mapping[str, Sequence[Table]], metrics: Iterable[str]) -> Iterator[str]:
    notes = {f"By {metric_name(metric)}": _scale_note(metric) for metric in metrics}
    notes |= {"Cost": COST_NOTE, "Masks": MASK_NOTE}
    for n, (title, tables) in enumerate(shown.items()):
        if title != "Convergence":
            general = ACCURACY_NOTE if n == 0 else ""
            yield _section(title, *(table.markdown() for table in tables), notes[title], general)


def _scale_note(metric: str) -> str:
    said = scale(metric).said
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _picture_sections(records: Sequence[Record], tables: Mapping[str, Sequence[Row]], folder: Path) -> Iterator[str]:
    if tables:
        name = draw_accuracy_against_time(records, next(iter(tables)), folder)
        yield _section("Score against time", f"![Score against training time]({name})", TIME_NOTE)
    if name := draw_training_curves(records, folder):
        text = "Mean over seeds, in the band from the lowest to the highest run."
        yield _section("Training curves", f"![Online kNN accuracy by epoch]({name})", text)
    if name := draw_hidden_area(records, folder):
        yield _section("Accuracy over hidden area", f"![Accuracy by hidden area]({name})", AREA_NOTE)
    if name := draw_exploitability(records, folder):
        table, picture = exploitability_table(records).markdown(), f"![Accuracy under attack]({name})"
        yield _section("Exploitability", table, EXPLOITABILITY_NOTE, exploited(records), picture)


def _convergence(shown: Mapping[str, Sequence[Table]], records: Sequence[Record], folder: Path) -> Iterator[str]:
    for table in shown.get("Convergence", ()):
        name = draw_differences(records, folder)
        picture = f"![Difference to stock by epoch]({name})" if name else ""
        yield _section("Convergence", table.markdown(), CONVERGENCE_NOTE, picture, DIFFERENCE_NOTE if name else "")


def _panels(drawn: Mapping[str, tuple[str, Sequence[Path]]], folder: Path) -> str:
    """Copy the last panel of each arm into the folder, and return a section that shows them."""
    shown = []
    for arm, (run, pictures) in drawn.items():
        name = f"masks_{re.sub(r'[^A-Za-z0-9_-]', '_', arm)}.png"
        shutil.copyfile(pictures[-1], folder / name)
        shown.append(f'`{arm}` ({run})\n\n<img src="{name}" width="480" alt="Masks">')
    return _section("Mask panels", "After the last epoch, on the same images.", *shown) if shown else ""
