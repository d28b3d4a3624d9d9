"""Runs that something happens to, and what watches them."""

import csv as csv_format
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from amask_solo.callbacks.online_knn import OnlineKNN
from amask_solo.callbacks.panels import MaskPanels
from amask_solo.data import ArrayImages, ImageSet
from amask_solo.hosts.installed import load_host
from tests.players import OneConvolution, build, masker_node

ON = {"enable_checkpointing": True, "log_every_n_steps": 1}


class At(Callback):
    """Do something once, before a given batch of the run."""

    def __init__(self, batch, action) -> None:
        self.batch, self.action = batch, action

    def on_train_batch_start(self, trainer, model, batch, batch_idx) -> None:
        if trainer.global_step == self.batch:
            self.action(model)


def interrupt(*_) -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def stumble(model) -> None:
    raise RuntimeError("a bug")


def poison(model) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)


def masked(**overrides):
    return build("simclr", masker_node(OneConvolution), **overrides)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv_format.DictReader(file))


def images(n: int = 16) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, 3, 32, 32), generator=draw, dtype=torch.uint8)


def sixes(images: ImageSet) -> DataLoader:
    return DataLoader(images, batch_size=6)


def knn(load: Callable[[ImageSet], Iterable] = sixes, **arguments) -> OnlineKNN:
    data = ArrayImages(images(), torch.arange(16) % 4)
    backbone = load_host().backbone
    return OnlineKNN(data, data, load=load, prepare=lambda x: x.float() / 255, backbone=backbone, k=1, **arguments)


def panels(folder: Path, **arguments) -> MaskPanels:
    mean, std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    return MaskPanels(images(), mean=mean, std=std, folder=folder / "masks", **arguments)
