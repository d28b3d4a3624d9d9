#!/usr/bin/env python
"""Measure the strength of the adversary in training for several settings, compared with random masks.

Usage::

    python scripts/adversary_strength.py data/cifar10                         # all settings, into results/adversary
    python scripts/adversary_strength.py data/cifar10 --only disjoint random --bases simclr byol --seeds 0 1
    python scripts/adversary_strength.py data/cifar10 --trainer gpu --jobs 12 # runs side by side on one GPU
    python scripts/adversary_strength.py --show                               # train nothing, print what there is
    python scripts/adversary_strength.py data/cifar10 --out results/adversary/half_width \
        --more backbone.name=timm/resnet18 backbone.kwargs.channels=[32,64,128,256]

Each run trains a method with a ResNet-18 for 16 epochs on 4,000 images of CIFAR-10, which lie in ``train/CLASS`` and
``test/CLASS`` of the folder: about six minutes on one CPU thread. A finished run is not made again. The table compares
the sums of the lifts from the sixth epoch on, with the standard error over epochs, of three kinds of masks: the game's
masks, random blocks of the same areas, and the masks of other images. ``validation`` is the advantage on validation
images, and ``gap`` is what a fresh attacker finds against the final encoder, relative to the game's own masks
(``protocol=attack``).
"""

import argparse
import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from amask_solo.game.advantage import ratio
from amask_solo.hosts.installed import load_host

OUT = Path(__file__).resolve().parents[1] / "results" / "adversary"
FIRST = 5  # the first epoch, from 0, that counts; the game takes some epochs to start
SHARED = [
    "augmentations=cifar_symmetric",
    "method_kwargs.proj_hidden_dim=512",
    "adversary.share=1.0",  # with the masker's lr, what the default was when this was measured first
    "adversary.optimizer.lr=0.001",
    "data=image_folder",
    "data.name=cifar10",
    "data.max_images=4000",
    "data.image_size=32",
    "stem=imagenet",
    "optimizer.name=adamw",
    "optimizer.lr=0.003",
    "optimizer.weight_decay=0.01",
    "optimizer.batch_size=128",
    "max_epochs=16",
    "online_knn=16",
    "mask_panels=16",
    "trainer.check_val_every_n_epoch=16",
]
GROWING = "masker=sequential_three adversary.apply=cumulative"
SOFT_EIGHTHS = f"{GROWING} adversary.masker.projection.inner.area=0.125"
THIRDS = "masker=sequential_three adversary.masker.num_masks=3"
SINGLE = "masker=sequential_three adversary.masker.num_masks=1"
FAST = "adversary.optimizer.lr=0.005"
STEPS = f"{FAST} adversary.steps=3"
BINARY = "amask_solo.projections.Binary"
SOFT = "{_target_:amask_solo.projections.AreaBudget,area:0.25,sharpness:3.0}"
STANDARD = f"{{_target_:amask_solo.projections.Standardized,inner:{SOFT}}}"
ALIVE = f"adversary.masker.projection={{_target_:{BINARY},inner:{STANDARD}}}"
QUARTERS = f"{{_target_:{BINARY},inner:{{_target_:amask_solo.projections.Disjoint,inner:{STANDARD}}}}}"
EIGHTHS = QUARTERS.replace("0.25", "0.125")
SETTINGS = {
    "random": "masker=random_block",
    "disjoint": THIRDS,
    "disjoint_steps": f"{THIRDS} {STEPS}",
    "disjoint_alive": f"{THIRDS} adversary.masker.projection={QUARTERS}",
    "single_fast": f"{SINGLE} {FAST}",
    "single_steps": f"{SINGLE} {STEPS}",
    "single_binary": f"{SINGLE} {FAST} adversary.masker.projection._target_={BINARY}",
    "single_alive": f"{SINGLE} {ALIVE}",
    "single_alive_fast": f"{SINGLE} {ALIVE} adversary.optimizer.lr=0.003",
    "growing_fast": f"{SOFT_EIGHTHS} {FAST}",
    "growing_steps": f"{SOFT_EIGHTHS} {STEPS}",
    "growing_alive": f"{GROWING} adversary.masker.projection={EIGHTHS}",
    "growing_two": f"{SOFT_EIGHTHS} adversary.masker.num_masks=2 {FAST}",
    "adios": "masker=simultaneous constraint=inverse_sine",
    "adios_binary": "masker=simultaneous constraint=inverse_sine "
    f"adversary.masker.projection={{_target_:{BINARY},inner:{{_target_:amask_solo.projections.Softmax}}}}",
}
"""Name of a setting -> its overrides; ``disjoint`` makes three disjoint quarters, each shown alone."""


def main() -> None:
    """Make the missing runs, write a JSON file for each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder that holds train and test")
    parser.add_argument("--only", nargs="+", choices=sorted(SETTINGS), help="settings; default: all")
    parser.add_argument("--bases", nargs="+", choices=load_host().methods(), help="default: simclr; to show, all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 0; to show, all")
    parser.add_argument("--trainer", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--jobs", type=int, default=1, help="how many run at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/adversary"), help="where the runs go")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON files go")
    parser.add_argument("--more", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of all runs")
    parser.add_argument("--show", action="store_true", help="train nothing")
    args = parser.parse_args()
    if not args.show:
        if not args.data or not all((args.data / part).is_dir() for part in ("train", "test")):
            parser.error(f"expected a folder that holds train and test, but got {args.data}")
        every = product(args.only or SETTINGS, args.bases or ["simclr"], args.seeds or [0])
        left = [run for run in every if not is_there(*run, args)]
        with ThreadPoolExecutor(args.jobs) as pool:
            started = [pool.submit(measure, *run, args) for run in left]
        for run in started:
            run.result()
    show([file for file in sorted(args.out.glob("*.json")) if is_asked_for(json.loads(file.read_text()), args)])


def is_asked_for(record: dict[str, Any], args: argparse.Namespace) -> bool:
    """Return whether a record is of the settings, bases and seeds that the command names; all that it does not name."""
    asked = {"setting": args.only, "base": args.bases, "seed": args.seeds}
    return all(record[key] in named for key, named in asked.items() if named)


def is_there(name: str, base: str, seed: int, args: argparse.Namespace) -> bool:
    """Return whether the JSON file of a run exists; raise an error if it is of other settings or images.

    A file of an earlier version says less of these, and counts by what it says.
    """
    out = args.out / f"{base}_{name}_seed{seed}.json"
    if not out.exists():
        return False
    before = json.loads(out.read_text())
    for key, now in conditions(name, args).items():
        if before.get(key, now) != now:
            raise SystemExit(f"{out} is of {key} '{before[key]}', not '{now}'; give another --out and --runs.")
    return True


def conditions(name: str, args: argparse.Namespace) -> dict[str, str]:
    """Return what a run was made with, as in its JSON file: its overrides, what all runs share, and the images."""
    return {
        "changes": " ".join((SETTINGS[name], *args.more)),
        "shared": " ".join((f"trainer={args.trainer}", *SHARED)),
        "data": "/".join(args.data.resolve().parts[-2:]),  # no more: records are shared, and folders are private
    }


def measure(name: str, base: str, seed: int, args: argparse.Namespace) -> None:
    """Train and attack one run, and write its JSON file."""
    run = f"{base}_{name}_seed{seed}"
    out, folder = args.out / f"{run}.json", args.runs / run
    settings = [f"method=amask_{base}", f"trainer={args.trainer}", *SHARED, *SETTINGS[name].split(), *args.more]
    images = [f"data.train_path={args.data / 'train'}", f"data.val_path={args.data / 'test'}"]
    how = "resume=true" if (folder / "checkpoints" / "last.ckpt").exists() else "overwrite=true"
    call("pretrain", *settings, *images, f"seed={seed}", f"run_folder={folder}", how)
    call("evaluate", f"ckpt={folder}", "protocol=attack", f"output={folder / 'attack.json'}")
    (result,) = json.loads((folder / "attack.json").read_text())["results"]
    summary = json.loads((folder / "summary.json").read_text())
    kept = ("knn_acc1", "linear_acc1", "seconds_per_step", "device", "host", "versions")
    record = {
        "setting": name,
        "base": base,
        **conditions(name, args),
        "seed": seed,
        "epochs": lifts(folder / "metrics.csv"),
        "attack": result["scores"],
        **{key: summary[key] for key in kept},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")


def call(command: str, *arguments: str) -> None:
    """Run a command of this package; end as it does, if it says why it cannot."""
    words = [sys.executable, "-m", f"amask_solo.cli.{command}", *arguments]
    if code := subprocess.run(words, check=False).returncode:  # noqa: S603 - our own command
        raise SystemExit(code)


def lifts(metrics: Path) -> list[dict[str, float]]:
    """Return the logged numbers about the adversary for each epoch."""
    with metrics.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("adversary/lift")]
    wanted = ("adversary/lift", "adversary/adv", "adversary/att", "masks/entropy", "masks/area", "masks/diversity")
    return [
        {"epoch": int(row["epoch"]), **{k: float(v) for k, v in row.items() if k.startswith(wanted) and v}}
        for row in rows
    ]


def show(files: list[Path]) -> None:
    """Print a table of all records."""
    table = Table(
        "base",
        "setting",
        "seed",
        "epochs",
        "advantage",
        "attention",
        "by mask",
        "lift",
        "validation",
        "gap",
        "entropy",
        "knn",
        "linear",
    )
    for file in files:
        record = json.loads(file.read_text())
        epochs = [epoch for epoch in record["epochs"] if epoch["epoch"] >= FIRST]
        own, *rivals = (
            torch.tensor([epoch[f"adversary/lift{kind}"] for epoch in epochs]) for kind in ("", "_blocks", "_others")
        )
        ratios = [ratio(own, rival) for rival in rivals]
        by_mask = [mean(epochs, f"adversary/advantage_{n}") for n in range(1, 5)]
        table.add_row(
            record["base"],
            record["setting"],
            str(record["seed"]),
            str(record["epochs"][-1]["epoch"] + 1),
            *(f"{known.value:.2f} ± {known.error:.2f}" for known in ratios),
            " ".join(f"{value:.2f}" for value in by_mask if value is not None),
            f"{own.mean():.3f}",
            f"{record['attack'].get('advantage_own', float('nan')):.1f}",
            f"{record['attack'].get('gap', float('nan')):.1f}",
            f"{mean(epochs, 'masks/entropy') or 0:.2f}",
            *(f"{record[key] or float('nan'):.1f}" for key in ("knn_acc1", "linear_acc1")),
        )
    Console(width=160).print(table)


def mean(epochs: list[dict[str, Any]], name: str) -> float | None:
    """Return the mean of a number over the epochs that have it."""
    values = [epoch[name] for epoch in epochs if epoch.get(name) == epoch.get(name) and name in epoch]
    return sum(values) / len(values) if values else None


if __name__ == "__main__":
    main()
