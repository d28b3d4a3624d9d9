"""The part ``epoch``: whole epochs of training from image files."""

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from amask_solo.augment.schema import Recipe
from amask_solo.augment.views import Views
from amask_solo.cli.composed import composed
from amask_solo.configuration import instantiate
from amask_solo.data import make_shapes
from amask_solo.hosts.installed import load_host
from amask_solo.runs.datamodule import ViewsData
from amask_solo.runs.host_config import host_config, method_class
from benchmarking.interleaved import Run, stopwatch
from benchmarking.models import Setting

BATCHES = 20
"""Of an epoch."""

STOCK = "stock, the host's pipeline"
ARMS = {STOCK: ("byol", True), "stock, ours": ("byol", False), "amask, ours": ("amask_byol", False)}
"""Name -> method, and whether the host's loader makes the views."""


def measure_epochs(setting: Setting, *, epochs: int, workers: int) -> list[dict[str, Any]]:
    """Return seconds an epoch from image files: masked BYOL with our data, stock BYOL with our data and the host's.

    The three take turns, epoch by epoch. The first epoch of each is not counted, nor is the work once before it
    (``start_seconds``: ours decodes all files then; the host's loader decodes them in every epoch). The host's workers
    start anew in every epoch, as in its own script, which counts more in a shorter epoch.

    Args:
        setting: Device, backbone and sizes.
        epochs: How many epochs to take the median of.
        workers: Processes of the host's loader.
    """
    images = BATCHES * setting.batch
    common = {**setting.facts(), "images": images}
    rows, runs, times = [], {}, {}
    with TemporaryDirectory() as folder:
        _write_images(Path(folder), images, size=setting.size)
        for arm, (method, processes) in ARMS.items():
            start = time.perf_counter()
            runs[arm] = _run(setting, method, folder, workers=workers if processes else None)
            rows.append({**common, "arm": arm, "workers": workers, "start_seconds": time.perf_counter() - start})
            times[arm] = []
            runs[arm].turn(1)
        for _ in range(epochs):
            for arm, run in runs.items():
                run.turn(1, stopwatch(setting.device, times[arm].append))
        for run in runs.values():
            run.stop()
    took = {arm: median(taken.seconds for taken in times[arm]) for arm in ARMS}
    for row in rows:
        row |= {"seconds": took[row["arm"]], "ratio": took[row["arm"]] / took[STOCK]}
    return rows


def _write_images(folder: Path, count: int, *, size: int) -> None:
    images = make_shapes(num_train=count, num_val=0, image_size=size).train
    for index in range(len(images)):
        place = folder / f"class_{int(images.labels[index])}"
        place.mkdir(exist_ok=True)
        Image.fromarray(images.image(index).permute(1, 2, 0).numpy()).save(place / f"{index}.jpg", quality=95)


def _run(setting: Setting, method: str, folder: str, *, workers: int | None) -> Run:
    line = [f"method={method}", f"backbone.name={setting.backbone}", "data=image_folder", f"data.train_path={folder}"]
    line += ["data.val_fraction=0.0", f"data.image_size={setting.size}", f"data.load_size={setting.size}"]
    cfg = composed("pretrain", [*line, "run_folder=none", "trainer=cpu"])
    cfg.optimizer.batch_size = setting.batch
    images = instantiate(cfg.data, "data")
    views = Views(OmegaConf.to_container(cfg.augmentations, resolve=True), mean=images.mean, std=images.std)
    torch.manual_seed(setting.seed)
    model = setting.formatted(method_class(cfg.method)(host_config(cfg, images, views, devices=1)))
    if workers is None:
        data: dict[str, Any] = {"datamodule": ViewsData(images, views, batch_size=setting.batch)}
    else:
        data = {"train_dataloaders": _host_loader(cfg, views.recipes, folder, workers=workers)}
    return Run(model, data, unit="epoch", **setting.trainer())


def _host_loader(cfg: DictConfig, recipes: Sequence[Recipe], folder: str, *, workers: int) -> DataLoader:
    """Return the host's own loader over files, with its own transforms, as its pretraining script makes them."""
    current = load_host().generation == "current"
    host = importlib.import_module("solo.data.pretrain_dataloader" if current else "solo.utils.pretrain_dataloader")
    if current:
        single = [host.build_transform_pipeline("custom", node) for node in cfg.augmentations]
    else:
        single = [host.prepare_transform("custom", **_release_arguments(recipe)) for recipe in recipes]
    transform = host.prepare_n_crop_transform(single, num_crops_per_aug=[recipe.num_crops for recipe in recipes])
    images = host.dataset_with_index(ImageFolder)(folder, transform)
    return host.prepare_dataloader(images, batch_size=cfg.optimizer.batch_size, num_workers=workers)


def _release_arguments(recipe: Recipe) -> dict[str, Any]:
    low, high = recipe.crop_scale or (1.0, 1.0)
    return {
        **{key: getattr(recipe, key) for key in ("brightness", "contrast", "saturation", "hue", "crop_size")},
        "color_jitter_prob": recipe.jitter,
        "gray_scale_prob": recipe.grayscale,
        "horizontal_flip_prob": recipe.flip,
        "gaussian_prob": recipe.blur,
        "solarization_prob": recipe.solarize,
        "min_scale": low,
        "max_scale": high,
    }
