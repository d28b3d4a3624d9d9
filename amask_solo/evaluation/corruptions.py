"""Four kinds of corruptions of ImageNet-C, by torchvision."""

from collections.abc import Callable, Iterator

import torch
import torchvision.transforms.v2.functional as V

from amask_solo._random import stream
from amask_solo._types import Images
from amask_solo.data import ImageSet
from amask_solo.data.base import Pixels
from amask_solo.evaluation.protocol import Subject

STRENGTHS = (1, 2, 3)


def _blur(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:  # noqa: ARG001
    sigma = pixels.shape[-1] * (1 / 64, 1 / 32, 1 / 16)[strength - 1]
    radius = min(max(1, round(3 * sigma)), min(pixels.shape[-2:]) - 1)
    return V.gaussian_blur(pixels, [2 * radius + 1] * 2, [sigma] * 2)


def _noise(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return (pixels + 255 * (0.04, 0.08, 0.16)[strength - 1] * noise).round().clamp(0, 255).to(pixels.dtype)


def _jpeg(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:  # noqa: ARG001
    return V.jpeg(pixels.cpu(), (50, 25, 10)[strength - 1]).to(pixels.device)


def _contrast(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:  # noqa: ARG001
    return V.adjust_contrast(pixels, (0.5, 0.3, 0.15)[strength - 1])


CORRUPTIONS: dict[str, Callable[[Pixels, int, torch.Generator], Pixels]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "contrast": _contrast,
}
"""Kind -> the corruption of uint8 pixels, at a strength of 1 to 3.

The strengths are ours, between those of ImageNet-C and CIFAR-10-C: blur by 1/64, 1/32 and 1/16 of the image's side,
noise by 4, 8 and 16 % of the range, JPEG quality 50, 25 and 10, and contrast times 0.5, 0.3 and 0.15.
"""


def corrupted(subject: Subject, images: ImageSet, kind: str, strength: int) -> Iterator[Images]:
    """Yield batches of views of corrupted images."""
    for step, (pixels, _) in enumerate(subject.batches(images)):
        draw = stream(f"robustness/{kind}", seed=subject.seed, rank=0, step=step, device=pixels.device)
        yield subject.view(CORRUPTIONS[kind](pixels, strength, draw))
