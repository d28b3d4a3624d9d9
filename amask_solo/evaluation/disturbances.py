"""Images made harder: parts hidden by rectangles or objects, other backgrounds, corruptions of ImageNet-C."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torchvision.transforms.v2.functional as V
from jaxtyping import Float, Int64
from torch import Tensor

from amask_solo._random import stream
from amask_solo._types import Images
from amask_solo.data import ImageSet, load_image_masks
from amask_solo.data.base import Labels, ObjectMasks, Pixels
from amask_solo.evaluation.protocol import Subject
from amask_solo.files import expanded
from amask_solo.maskers.random import RandomMasker
from amask_solo.occlusion import occlude

STRENGTHS = (1, 2, 3)


class Occluders(NamedTuple):
    """Pictures, and the mask of the object in each; objects are pasted in their own size and place."""

    pixels: Pixels
    masks: ObjectMasks


def load_occluders(folder: str, *, size: int) -> Occluders:
    """Read the pictures in ``images`` and the masks in ``masks`` below a folder, in the ``size`` of the stored images.

    Raises:
        UserError: If a folder is missing or empty, or images and masks do not match.
    """
    places: Any = {f"{name}_path": str(expanded(folder) / name) for name in ("images", "masks")}
    found = load_image_masks(**places, image_size=size, val_fraction=0.0, labels="none").train
    return Occluders(found.stack(), found.objects())


def occluded(subject: Subject, images: ImageSet, area: float) -> Iterator[Images]:
    """Yield batches of views, with a random rectangle of each image in the mean color of the data set.

    The rectangles of an image are drawn from the same random numbers for all areas, so that only the area differs.
    """
    masker = RandomMasker(area=area)
    for step, (pixels, _) in enumerate(subject.batches(images)):
        view = subject.view(pixels)
        generator = stream("robustness/blocks", seed=subject.seed, rank=0, step=step, device=view.device)
        yield occlude(view, masker(view, generator=generator), torch.zeros_like(view))


def pasted(subject: Subject, images: ImageSet, objects: Occluders, *, outlines: bool) -> Iterator[Images]:
    """Yield batches of views with an object of another picture in each, randomly mirrored.

    For ``outlines``, the object's place is filled with the mean color of the data set instead of its pixels; both draw
    the same random numbers.
    """
    mean = torch.tensor(subject.data.mean, device=subject.device)[:, None, None]
    for step, (pixels, _) in enumerate(subject.batches(images)):
        draw = stream("robustness/objects", seed=subject.seed, rank=0, step=step, device="cpu")
        picks = torch.randint(len(objects.masks), (len(pixels),), generator=draw)
        mirrored = (torch.rand(len(pixels), generator=draw) < 0.5)[:, None, None, None]
        other, mask = (
            torch.where(mirrored, kind[picks].flip(-1), kind[picks]).to(pixels.device)
            for kind in (objects.pixels, objects.masks)
        )
        content = (255 * mean).round().to(pixels.dtype).expand_as(pixels) if outlines else other
        yield subject.view(torch.where(mask, content, pixels))


def mean_background(pixels: Pixels, objects: ObjectMasks) -> Float[Tensor, "n 3 1 1"]:
    """Return the mean color of each image around its object, from 0 to 255; of all of it if nothing is around.

    Example:
        >>> pixels = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        >>> pixels[..., 1] = 90
        >>> objects = torch.tensor([[[[True, False], [False, False]]]])
        >>> mean_background(pixels, objects).flatten()
        tensor([60., 60., 60.])
    """
    around = ~objects | objects.flatten(1).all(dim=1)[:, None, None, None]
    return (pixels * around).sum(dim=(-2, -1), keepdim=True) / around.sum(dim=(-2, -1), keepdim=True)


def remove_objects(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    """Return the images with their objects painted over in the mean color of their backgrounds."""
    return torch.where(objects, _painted(pixels, objects), pixels)


def remove_backgrounds(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    """Return the images with everything but their objects painted over in the mean color of it."""
    return torch.where(objects, pixels, _painted(pixels, objects))


def swap_backgrounds(pixels: Pixels, objects: ObjectMasks, other_pixels: Pixels, other_objects: ObjectMasks) -> Pixels:
    """Paste the objects of some images onto the backgrounds of others; every object stays where it was.

    The object of the other image does not show: it is painted over in the mean color of its background.

    Example:
        >>> black, white = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> swap_backgrounds(black, left, white, ~left)[0, 0]
        tensor([[  0, 255],
                [  0, 255]], dtype=torch.uint8)
    """
    return torch.where(objects, pixels, remove_objects(other_pixels, other_objects))


def _painted(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    return mean_background(pixels, objects).round().to(pixels.dtype).expand_as(pixels)


def draw_partners(labels: Labels, *, same_class: bool, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """Draw for each image, on the CPU, the index of a random other image, of its own class or of another.

    Within a class, images give their backgrounds to each other in a random ring: each is used once,
    and only the image of a class that has no second one keeps its own.

    Raises:
        ValueError: If another class is wanted and there is none.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> draw_partners(torch.tensor([0, 1, 0, 1]), same_class=True, generator=generator)
        tensor([2, 3, 0, 1])
    """
    partners = torch.empty_like(labels)
    for name in labels.unique():
        mine, others = (labels == name).nonzero()[:, 0], (labels != name).nonzero()[:, 0]
        if same_class:
            ring = mine[torch.randperm(len(mine), generator=generator)]
            partners[ring] = ring.roll(1)
        elif len(others):
            partners[mine] = others[torch.randint(len(others), (len(mine),), generator=generator)]
        else:
            raise ValueError("Expected images of at least two classes, but got one; there is no other background.")
    return partners


def _blur(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:  # noqa: ARG001
    sigma = pixels.shape[-1] * (1 / 64, 1 / 32, 1 / 16)[strength - 1]
    radius = min(max(1, round(3 * sigma)), min(pixels.shape[-2:]) - 1)
    return V.gaussian_blur(pixels, [2 * radius + 1] * 2, [sigma] * 2)


def _noise(pixels: Pixels, strength: int, generator: torch.Generator) -> Pixels:
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return (pixels + 255 * (0.04, 0.08, 0.16)[strength - 1] * noise).round().clamp(0, 255).to(pixels.dtype)


CORRUPTIONS: dict[str, Callable[[Pixels, int, torch.Generator], Pixels]] = {
    "blur": _blur,
    "noise": _noise,
    "jpeg": lambda pixels, strength, _: V.jpeg(pixels.cpu(), (50, 25, 10)[strength - 1]).to(pixels.device),
    "contrast": lambda pixels, strength, _: V.adjust_contrast(pixels, (0.5, 0.3, 0.15)[strength - 1]),
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
