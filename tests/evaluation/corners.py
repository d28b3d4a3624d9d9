"""A backbone of which it is known where it looks, and images that say their class there alone."""

import torch
from torch import nn

from amask_solo.data import ArrayImages, ImageData
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Subject
from amask_solo.maskers.base import Masker

SIZE = 16
CORNER = slice(0, 4)


class Look(nn.Module):
    """Features that see one corner of an image alone: its mean color, and a constant beside it."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        color = self.weight * images[..., CORNER, CORNER].mean(dim=(-2, -1))
        return torch.cat([color, torch.ones_like(color[:, :1])], dim=1)


def corners(*, labeled: bool = True, channels: int = 3) -> ImageData:
    """Draw noise of which the corner alone says the class: dark or bright."""

    def draw(count, seed):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (count, channels, SIZE, SIZE), generator=generator)
        labels = torch.arange(count) % 2
        images[..., CORNER, CORNER] = 28 + 200 * labels[:, None, None, None]
        return ArrayImages(images.byte(), labels if labeled else torch.full_like(labels, -1))

    half = (0.5,) * channels
    return ImageData(draw(256, 0), draw(128, 1), 2, ["dark", "bright"], half, half, SIZE, "corners")


def subject(masker: Masker | None = None, **settings) -> Subject:
    return Subject(Backbone(Look()).eval(), settings.pop("data", corners()), masker, **settings)
