#!/usr/bin/env python
"""Show what is left of the first run's accuracy when a quarter is hidden, beside the stored scores of the stock method.

Usage::

    python scripts/beside_stock.py runs/first_amask_byol_shapes_seed0  # after amask-evaluate ckpt=... protocol=attack

The scores of the stock method are those of ``amask-pretrain experiment=quickstart_byol method=byol`` and
``amask-evaluate ckpt=runs/first_byol_shapes_seed0 protocol=attack``, with one thread of one CPU.
"""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

STOCK = Path(__file__).resolve().parents[1] / "results" / "quickstart" / "stock_attack.json"
SHOWN = {
    "nothing": "acc1",
    "a random rectangle, a quarter": "acc1_random",
    "the quarter that a new masker chooses, trained against it": "acc1_attack",
}
"""What is hidden -> the score of ``protocol=attack``."""


def scores(file: Path) -> dict[str, float]:
    """Return the scores of ``protocol=attack`` in a file of results."""
    return next(r["scores"] for r in json.loads(file.read_text())["results"] if r["protocol"] == "attack")


def main() -> None:
    """Print the table."""
    run, stock = scores(Path(sys.argv[1]) / "evaluation.json"), scores(STOCK)
    table = Table(title="Accuracy in percent", title_justify="left")
    table.add_column("hidden")
    for name in ("stock method (stored)", "this run"):
        table.add_column(name, justify="right")
    for hidden, score in SHOWN.items():
        table.add_row(hidden, f"{stock[score]:.1f}", f"{run[score]:.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print("One seed, 512 images: differences below six points may be chance. README.md has what was measured.")


if __name__ == "__main__":
    main()
