"""A backbone as amask-export writes it."""

from pathlib import Path

import torch
import torchvision

from amask_solo.checkpoints.export import export_backbone


def export(folder: Path, *, target: str = "torchvision", seed: int = 0) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    suffix = "safetensors" if target == "safetensors" else "pth"
    return export_backbone({"state_dict": network.state_dict()}, folder / f"{target}.{suffix}", format=target).path
