"""A comparison folder with known numbers, written as the commands write it."""

import csv
import json
from pathlib import Path

from PIL import Image

from amask_solo.comparison.records import Record, read_record

SEEDS = (0, 1, 2)
EPOCHS = 10
STEPS = 200

LINEAR = {
    ("byol", "stock"): (60.0, 61.0, 62.0),
    ("byol", "random"): (60.4, 61.9, 61.6),
    ("byol", "adios"): (57.9, 59.1, 60.0),
    ("byol", "sequential"): (63.0, 64.5, 65.0),
    ("simclr", "stock"): (70.0, 70.5, 71.2),
    ("simclr", "random"): (70.6, 70.4, 71.5),
    ("simclr", "adios"): (70.1, 71.0, 70.8),
    ("simclr", "sequential"): (71.4, 72.3, 72.8),
}
"""Linear accuracy by seed."""

COST = {"stock": 0.10, "random": 0.11, "adios": 0.24, "sequential": 0.16}
"""Seconds a step."""

STRENGTH = {"adversary/advantage": 1.25, "adversary/attention": None}
"""How strong the masks are; that of the masks of other images is not known."""

PROTOCOLS = {"linear": {"epochs": 100}, "knn": {"k": 20}}


def make_comparison(folder: Path) -> Path:
    """Write all runs, and return the folder."""
    for (base, arm), accuracies in LINEAR.items():
        for seed, accuracy in zip(SEEDS, accuracies, strict=True):
            make_run(folder, base, arm, seed, accuracy=accuracy)
    return folder


def make_run(folder: Path, base: str, arm: str, seed: int, *, accuracy: float) -> Path:
    """Write a run whose kNN accuracy is five points below its linear accuracy, and return its folder."""
    run = folder / "runs" / f"{base}_{arm}_seed{seed}"
    (run / "masks").mkdir(parents=True)
    (run / "summary.json").write_text(json.dumps(_summary(base, arm, seed, accuracy)))
    (run / "comparison.json").write_text(json.dumps({"results": _results(accuracy)}))
    with (run / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "epoch", "val_acc1", "val_knn_acc1"])
        for epoch in range(EPOCHS):
            # A row of training alone stands between the epochs.
            table.writerow([epoch * STEPS // EPOCHS, epoch, "", ""])
            reached = (accuracy - 5) * (epoch + 4) / (EPOCHS + 3)
            table.writerow([(epoch + 1) * STEPS // EPOCHS - 1, epoch, reached, reached])
    if arm != "stock":
        for epoch in (0, EPOCHS):
            Image.new("RGB", (64, 48), (20 * epoch, 40 * seed, 90)).save(run / "masks" / f"epoch_{epoch:04d}.png")
    return run


def read_all(folder: Path) -> list[Record]:
    """Read what :func:`make_comparison` wrote."""
    return [
        read_record(folder / "runs" / f"{base}_{arm}_seed{seed}", base, arm, seed)
        for base, arm in LINEAR
        for seed in SEEDS
    ]


def record(base: str, arm: str, seed: int, accuracy: float, metric: str = "linear/acc1") -> Record:
    """Return a record that knows nothing but a score."""
    return Record(base, arm, seed, Path(f"{base}_{arm}_seed{seed}"), {}, {metric: float(accuracy)}, [])


def _summary(base: str, arm: str, seed: int, accuracy: float) -> dict:
    masks = {"area": 0.25, "area_1": 0.25, "entropy": 0.1 * (seed + 1), "overlap": 0.05, "diversity": 0.3}
    return {
        "status": "finished",
        "method": base if arm == "stock" else f"amask_{base}",
        "data": "cifar10",
        "train_images": 1280,
        "image_size": 32,
        "backbone": "resnet18",
        "epochs": EPOCHS,
        "batch_size": 64,
        "seed": seed,
        "epochs_done": EPOCHS,
        "steps": STEPS,
        "knn_acc1": accuracy - 5,
        "linear_acc1": None,
        "masks": {} if arm == "stock" else masks,
        "metrics": {"val_loss": 1.5, **({} if arm == "stock" else STRENGTH)},
        # The middle seed is the median; one seed is an outlier, as other work on a machine makes it.
        "seconds_per_step": COST[arm] * (1.0, 1.02, 3.0)[seed],
        "seconds": COST[arm] * STEPS * (1.2, 1.25, 3.4)[seed],
        "peak_memory_mib": 1000 + 500 * (arm != "stock"),
        "device": "cpu (x86_64, 1 threads)",
        "versions": {"python": "3.11.7", "torch": "2.15.0", "amask-solo": None},
    }


def _results(accuracy: float) -> list[dict]:
    scores = {"linear": {"acc1": accuracy, "acc5": 95.0}, "knn": {"acc1": accuracy - 5}}
    return [
        {"protocol": name, "data": "cifar10", "settings": PROTOCOLS[name], "scores": scores[name], "seconds": 2.0}
        for name in PROTOCOLS
    ]
