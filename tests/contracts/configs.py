"""The yaml files of one kind: every one of them has to keep the contract of its kind."""

from pathlib import Path

import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from amask_solo.localisers import lend_backbone
from amask_solo.masked.settings import described
from amask_solo.maskers import lend_objects

ROOT = Path(__file__).resolve().parents[2] / "configs"


def names(group):
    found = sorted(path.stem for path in (ROOT / group).glob("*.yaml"))
    if not found:
        raise FileNotFoundError(f"No yaml file in {ROOT / group}.")
    return found


def build(group, name, **more):
    part = instantiate(OmegaConf.create({**described(group, name), **more}))
    if isinstance(part, nn.Module):
        lend_backbone(part, lambda images: F.adaptive_avg_pool2d(images, 7))
        lend_objects(part, lambda images: [(images[:, :1] > 0).float()])
    return part
