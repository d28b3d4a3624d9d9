#!/usr/bin/env python
"""Estimate the GPU hours of the ImageNet-100 recipes, for the table of docs/cluster.md.

Usage::

    python scripts/gpu_hours.py          # print it
    python scripts/gpu_hours.py --docs   # put it into docs/cluster.md

The epochs, the batch and the masks of a recipe are read from its configuration, and the ratio of its step to that of
the stock method from ``benchmarks/cpu.json``. Readers must measure the speed of their GPU themselves.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarking.page import fill
from benchmarking.steps import DEFAULT

from amask_solo.cli.composed import composed
from amask_solo.configuration import config_folder
from amask_solo.game.pairs import PAIRS, Pairs
from amask_solo.layout import PREFIX

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cluster.md"
BEGIN, END = "<!-- hours: made by scripts/gpu_hours.py --docs -->", "<!-- end of hours -->"

IMAGES = 126_689
"""The number of training images of ImageNet-100, by the list of Tian et al. (arXiv:1906.05849) that the host uses."""

MEASURED_MASKS = 4
"""The number of masks in the benchmark, which showed all of them."""

EXAMPLE = 1_000
"""Images per second of the stock method, assumed for an example."""


class Recipe(NamedTuple):
    """The facts that determine the cost of a run.

    Attributes:
        name: The name of the experiment.
        size: The size of the views in pixels.
        epochs: The number of epochs.
        batch: Images per step.
        masks: The number of masks that are encoded in a step.
        ratio: The ratio of the time of a step to that of the stock method.
    """

    name: str
    size: int
    epochs: int
    batch: int
    masks: int
    ratio: float

    @property
    def images(self) -> int:
        """The number of images in the run, without the last incomplete batch of each epoch."""
        return self.epochs * (IMAGES // self.batch) * self.batch

    def hours(self, rate: float) -> float:
        """Return the GPU hours at a rate of the stock method in images per second."""
        return self.images / rate * self.ratio / 3600


def recipes() -> list[Recipe]:
    """Return the recipes of ImageNet-100, in the order of their names."""
    names = sorted(file.stem for file in (config_folder() / "experiment").glob("*imagenet100*.yaml"))
    steps = json.loads((ROOT / "benchmarks" / "cpu.json").read_text())["step"]["rows"]
    measured = {(row["method"], row["arm"]): row["ratio"] for row in steps}
    return [_recipe(name, measured) for name in names]


def _recipe(name: str, measured: dict[tuple[str, str], float]) -> Recipe:
    cfg = composed("pretrain", [f"experiment={name}", "run_folder=none"])
    played = cfg.adversary
    # `played.update` would be a method of the dictionary.
    masker, update = (_last(played[part]) for part in ("masker", "update"))
    shown = "one" if played.get("draw", "one") == "one" else f"N={MEASURED_MASKS}"
    arm = f"{shown}, {masker.removesuffix('masker')}, {update}"
    if (arm, played.masker.get("num_masks")) == ("one, sequential, reversal", 1):
        arm = DEFAULT
    ratio = measured[cfg.method.removeprefix(PREFIX), arm]
    masks, measured_masks = (1, 1) if shown == "one" else (played.masker.num_masks, MEASURED_MASKS)
    # Most of the time goes to the encoder.
    ratio *= encoded_views(masks, played.get("pairs") or {"second": 1}) / encoded_views(measured_masks, {"second": 1})
    return Recipe(name, cfg.data.image_size, cfg.max_epochs, cfg.optimizer.batch_size, masks, ratio)


def encoded_views(masks: int, pairs: Pairs) -> int:
    """Return how many views the encoder sees in a turn: those of all pairs, but each clean one once.

    Example:
        >>> encoded_views(4, {"second": 1}), encoded_views(4, {"first": 1, "second": 1, "both": 1, "neither": 1})
        (5, 18)
    """
    played = [PAIRS[name] for name, weight in pairs.items() if weight]
    clean = {view for masked in played for view in (0, 1) if view not in masked}
    return len(clean) + masks * sum(map(len, played))


def _last(node: Any) -> str:
    return node["_target_"].rpartition(".")[2].lower()


def table() -> str:
    """Return the table, in Markdown."""
    lines = [
        f"| `experiment=` | views | epochs | batch | masks a step | ratio | GPU hours | at `r` = {EXAMPLE:,} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in recipes():
        cells = [
            f"`{one.name}`",
            f"{one.size} px",
            f"{one.epochs}",
            f"{one.batch}",
            f"{one.masks}",
            f"{one.ratio:.2f}",
            f"{one.hours(1):,.0f} / `r`",
            f"{one.hours(EXAMPLE):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    if not parser.parse_args().docs:
        print(table())
        return
    fill(PAGE, f"{table()}\n", between=(BEGIN, END))


if __name__ == "__main__":
    main()
