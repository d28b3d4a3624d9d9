"""Subjects whose features are chosen, not computed."""

import torch
from torch import Tensor, nn

from amask_solo.data import ArrayImages, ImageData
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Features, Subject


class Colors(nn.Module):
    """The mean color of an image, and its double: a backbone of six features, one weight and a batch norm."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        color = (self.weight * self.norm(images)).mean(dim=(-2, -1))
        return torch.cat([color, 2 * color], dim=1)


def clouds(count: int, *, classes: int = 4, noise: float = 1.0, seed: int = 0, dim: int = 6) -> Features:
    """Draw features around one center a class, the same for every seed; every class occurs."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    return centers[labels] + noise * torch.randn(count, dim, generator=draw), labels


def subject_of(train: Features, val: Features, *, seed: int = 0) -> Subject:
    """Return a subject that has these features."""
    classes = int(torch.cat([train[1], val[1]]).max()) + 1
    sets = [ArrayImages(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), labels) for _, labels in (train, val)]
    names = [f"class {number}" for number in range(classes)]
    data = ImageData(*sets, classes, names, (0.5,) * 3, (0.25,) * 3, 4, "clouds")
    return Subject(Backbone(Colors()).eval(), data, seed=seed, _features={"train": train, "val": val})
