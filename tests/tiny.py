"""Configurations and batches small enough to train every method of a host in a second."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet

BATCH = 8
CLASSES = 4

METHOD_KWARGS = {
    "all4one": {"pred_hidden_dim": 16, "temperature": 0.2, "queue_size": 16},
    "barlow_twins": {},
    "byol": {"pred_hidden_dim": 16},
    "deepclusterv2": {"num_prototypes": [6, 6], "kmeans_iters": 2},
    "dino": {"num_prototypes": 12},
    "mae": {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2},
    "mocov2plus": {"temperature": 0.2, "queue_size": 16},
    "mocov3": {"pred_hidden_dim": 16, "temperature": 0.2},
    "nnbyol": {"pred_hidden_dim": 16, "queue_size": 16},
    "nnclr": {"pred_hidden_dim": 16, "temperature": 0.2, "queue_size": 16},
    "nnsiam": {"pred_hidden_dim": 16, "queue_size": 16},
    "ressl": {"temperature_q": 0.1, "temperature_k": 0.04, "queue_size": 16},
    "simclr": {"temperature": 0.2},
    "simsiam": {"pred_hidden_dim": 16},
    "supcon": {"temperature": 0.2},
    "swav": {"temperature": 0.1, "num_prototypes": 12, "queue_size": 16, "epoch_queue_starts": 1},
    "vibcreg": {"sim_loss_weight": 1.0, "var_loss_weight": 1.0, "cov_loss_weight": 0.1},
    "vicreg": {"sim_loss_weight": 1.0, "var_loss_weight": 1.0, "cov_loss_weight": 0.1},
    "wmse": {"whitening_size": 8, "whitening_eps": 0.1, "proj_output_dim": 4},
}


def tiny_cfg(method: str, **overrides: Any) -> DictConfig:
    """Return a cfg in the current host's schema; ``overrides`` are dotted keys."""
    method_kwargs = METHOD_KWARGS.get(method.removeprefix("amask_"), {})
    if method.removeprefix("amask_") != "mae":
        method_kwargs = {"proj_hidden_dim": 32, "proj_output_dim": 16, **method_kwargs}
    cfg = OmegaConf.create(
        {
            "name": "tiny",
            "method": method,
            "backbone": {"name": "resnet18"},
            "method_kwargs": method_kwargs,
            "momentum": {"base_tau": 0.9, "final_tau": 1.0},
            # Not a CIFAR name: the large stem leaves one feature pixel of a 32-pixel image, which
            # is cheap.
            "data": {
                "dataset": "tiny",
                "num_classes": CLASSES,
                "num_large_crops": 2,
                "num_small_crops": 0,
            },
            "optimizer": {
                "name": "sgd",
                "batch_size": BATCH,
                "lr": 0.01,
                "classifier_lr": 0.02,
                "weight_decay": 1e-4,
                "kwargs": {"momentum": 0.9},
            },
            "scheduler": {"name": "warmup_cosine", "warmup_epochs": 1, "warmup_start_lr": 0.001},
            "max_epochs": 2,
        }
    )
    if method.removeprefix("amask_") == "mae":
        cfg.backbone = {"name": "vit_tiny", "kwargs": {"img_size": 32, "patch_size": 16}}
    for key, value in overrides.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


class ThinResNet(resnet.ResNet):
    """A ResNet with one block in each stage, of an eighth of the channels: 0.1 million weights instead of 11."""

    def _make_layer(self, block: type[nn.Module], planes: int, blocks: int, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, 1, **options)


@contextmanager
def thin_networks() -> Iterator[None]:
    """Let a host build a thin ResNet: at 32 pixels the weights of a real one cost nearly all of the time."""
    with mock.patch.object(resnet, "ResNet", ThinResNet):
        yield


class TwoViews(Dataset):
    """Random images in ``[index, [view_1, view_2], label]``, the same for the same seed."""

    def __init__(self, length: int, *, size: int = 32, views: int = 2, labels: bool = True, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.views = torch.randn(length, views, 3, size, size, generator=generator)
        self.labels = torch.arange(length) % CLASSES if labels else torch.full((length,), -1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> list:
        return [index, list(self.views[index]), self.labels[index]]


class OneView(TwoViews):
    """The host's validation format: ``(image, label)``."""

    def __getitem__(self, index: int) -> tuple:
        return self.views[index, 0], self.labels[index]


def tiny_loaders(
    batches: int = 2, *, batch: int = BATCH, size: int = 32, labels: bool = True, seed: int = 0
) -> tuple[DataLoader, DataLoader]:
    """Return an unshuffled training loader and a validation loader of one batch."""
    train = TwoViews(batches * batch, size=size, labels=labels, seed=seed)
    val = OneView(batch, size=size, labels=labels, seed=seed + 1)
    return DataLoader(train, batch_size=batch, drop_last=True), DataLoader(val, batch_size=batch)


def tiny_trainer(**options: Any) -> Trainer:
    """Return a silent trainer of two epochs on the CPU, without logger and checkpoints."""
    defaults = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return Trainer(**{**defaults, **options})
