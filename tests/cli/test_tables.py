"""Tables in a narrow terminal, or in a log file: whatever is too wide goes on in the next line."""

from pathlib import Path

import pytest
from rich.console import Console

from amask_solo.cli import evaluate, pretrain
from amask_solo.comparison.tables import Table

LONG = "somebody/else/with/a/very/long/name_of_a_folder_of_images"
SUMMARY = dict.fromkeys(("knn_acc1", "linear_acc1", "seconds_per_step", "peak_memory_mib"))
SUMMARY |= {"method": "byol", "data": "photos", "image_size": 32, "epochs": 2, "epochs_done": 1, "masks": {}}


@pytest.mark.parametrize(
    ("table", "whole"),
    [
        (pretrain._table(SUMMARY, Path(LONG)), LONG),
        (evaluate._table([{"protocol": "knn", "data": LONG, "scores": {f"{LONG}/acc1": 1.0}}]), LONG),
        (
            Table(["arm", "difference", "interval"], [["a" * 20, "-8.3", "[-114.2,97.6]"]]).console("kNN"),
            "[-114.2,97.6]",
        ),
    ],
)
def test_nothing_is_cut_off(table, whole):
    console = Console(width=32)
    with console.capture() as captured:
        console.print(table)
    assert "…" not in captured.get()
    columns = zip(*(line.split("│") for line in captured.get().splitlines() if "│" in line), strict=True)
    assert any(whole in "".join(part.strip() for part in column) for column in columns)
