#!/usr/bin/env python
"""Measure the costs of adversarial masking; print tables and write a JSON file.

Usage::

    python scripts/benchmark.py                            # the best device there is, all parts
    python scripts/benchmark.py --device cpu --parts step  # writes into benchmarks/cpu.json
    python scripts/benchmark.py --quick                    # a first look within a minute or two
    python scripts/benchmark.py --page                     # measure nothing, put benchmarks/*.json into docs/costs.md

Parts:

- ``step``: the time of a training step with every way to mask, and with ADIOS as its authors compute it, as a ratio to
  the stock method. The times are medians over steps that take turns in one process, each after a step of the stock
  method. Every step belongs to a real Lightning ``Trainer`` with optimizer, teacher and callbacks, but without the work
  of logging. All steps use the same batch, which is on the device already. A GPU uses bfloat16 and channels_last.
  ``waits`` counts the operations in a step, including the host's, that wait for the device; a masked method should not
  have more than the stock method. ``cpu_ratio`` compares processor time; if other programs use the CPU too (``load`` in
  the JSON file), it is more reliable than ``ratio``.
- ``systems``: a step of each published system and of its parts, as a ratio to the stock method.
- ``tokens``: a step of a vision transformer whose hidden patches are painted over or left out, likewise.
- ``memory``: the memory of eight masks relative to one, with all graphs at once and memory-efficient; the times are
  relative to eight masks with all graphs.
- ``shares``: the shares of the time of a masked step, under PyTorch's profiler.
- ``views``: images/s from uint8 images to two views, by this package, by Kornia's modules and by torchvision, in turn.
- ``epoch``: an epoch of masked BYOL from image files, relative to stock BYOL with the host's own data pipeline.

A new measurement of a part replaces the old one in the JSON file; the other parts stay.
"""

import argparse
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarking.epochs import measure_epochs
from benchmarking.models import Setting
from benchmarking.page import update_page
from benchmarking.report import environment, show, write
from benchmarking.shares import measure_shares
from benchmarking.steps import METHODS, measure_memory, measure_steps
from benchmarking.systems import measure_systems
from benchmarking.tokens import measure_tokens
from benchmarking.views import measure_views

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"

CPU = [("resnet18", 64, 32)]
CUDA = [
    ("resnet18", 64, 256),
    ("resnet18", 96, 256),
    ("resnet18", 224, 128),
    ("resnet50", 224, 64),
    ("vit_small", 224, 64),
]
"""Backbone, size of the views, and images per step. All methods use the first setting, and only BYOL the others."""

Rows = list[dict[str, Any]]


def main() -> None:
    """Measure, print and write."""
    args = _arguments()
    if args.page:
        update_page(FOLDER.parent / "docs" / "costs.md", FOLDER)
        return
    _be_quiet()
    device = torch.device(args.device)
    # A part of the measurements takes no place of the whole, from which docs/costs.md is made.
    partly = args.quick or args.size or args.batch or args.methods != list(METHODS)
    out = args.out or (None if partly else FOLDER / f"{device.type}.json")
    for part in args.parts:
        facts = environment(device, args.seed)
        rows = PARTS[part](args, _settings(args, device))
        if out:
            write(out, part, rows, facts)
        show(part, rows, facts)
    print(f"Written to {out}." if out else "Not written, since it is a part of the measurements; --out FILE keeps it.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=best, help="cpu, cuda or cuda:1; the best there is by default")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="of the part step")
    parser.add_argument("--size", type=int, help="measure ResNet-18 at this size alone")
    parser.add_argument("--batch", type=int, help="images a step")
    parser.add_argument("--rounds", type=int, default=5, help="how often each arm is measured")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="of torchvision's loaders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the main arms alone, few rounds")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/costs.md, and measure nothing")
    parser.add_argument("--out", type=Path, help="the JSON file; benchmarks/DEVICE.json by default, if all is measured")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds must be at least 2")
    if args.quick:
        args.rounds = min(args.rounds, 2)
    return args


def _be_quiet() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def _settings(args: argparse.Namespace, device: torch.device) -> list[Setting]:
    known = CUDA if device.type == "cuda" else CPU
    if args.size:
        known = [("resnet18", args.size, known[0][2])]
    if args.quick:
        known = known[:1]
    return [Setting(device, backbone, size, args.batch or batch, args.seed) for backbone, size, batch in known]


def _step(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    rows: Rows = []
    for number, setting in enumerate(settings):
        methods = args.methods if number == 0 and not args.quick else ["byol"]
        for method in methods:
            rows += measure_steps(setting, method, rounds=args.rounds, quick=args.quick)
    return rows


def _systems(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    return measure_systems(settings[0], rounds=args.rounds)


def _tokens(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    return measure_tokens(settings[0], rounds=args.rounds)


def _memory(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    return [row for setting in settings for row in measure_memory(setting, "byol", rounds=args.rounds)]


def _shares(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    return [row for setting in settings for row in measure_shares(setting, rounds=args.rounds)]


def _views(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    device, seconds = settings[0].device, 0.5 if args.quick else 2.0
    batch = args.batch or (256 if device.type == "cuda" else 64)
    return measure_views(device, batch=batch, workers=args.workers, rounds=args.rounds, seconds=seconds)


def _epoch(args: argparse.Namespace, settings: list[Setting]) -> Rows:
    return measure_epochs(settings[0], epochs=1 if args.quick else min(args.rounds, 3), workers=args.workers)


PARTS: dict[str, Callable[[argparse.Namespace, list[Setting]], Rows]] = {
    "step": _step,
    "systems": _systems,
    "tokens": _tokens,
    "memory": _memory,
    "shares": _shares,
    "views": _views,
    "epoch": _epoch,
}

if __name__ == "__main__":
    main()
