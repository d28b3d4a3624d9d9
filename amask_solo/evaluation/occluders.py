"""Hide a part of each image: by a random rectangle, or by an object of another picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from amask_solo._random import stream
from amask_solo._types import Images
from amask_solo.data import ImageSet, load_image_masks
from amask_solo.data.base import ObjectMasks, Pixels
from amask_solo.evaluation.protocol import Subject
from amask_solo.maskers.random import RandomMasker
from amask_solo.occlusion import occlude


class Occluders(NamedTuple):
    """Pictures with object masks; objects are pasted in their own size and place.

    Attributes:
        pixels: The pictures.
        masks: The mask of the object in each picture.
    """

    pixels: Pixels
    masks: ObjectMasks


def load_occluders(folder: str, *, size: int) -> Occluders:
    """Read pictures and the masks of their objects.

    Args:
        folder: A folder with ``images`` and ``masks`` in it.
        size: Height and width of the stored images that they are pasted into.

    Raises:
        UserError: If a folder is missing or empty, or images and masks do not match.
    """
    places = (Path(folder).expanduser() / name for name in ("images", "masks"))
    images_path, masks_path = map(str, places)
    found = load_image_masks(
        images_path=images_path, masks_path=masks_path, image_size=size, val_fraction=0.0, labels="none"
    ).train
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

    Args:
        subject: The subject, which makes the views.
        images: The images.
        objects: The objects to draw from, with the same random numbers for outlines and objects.
        outlines: Whether to fill the object's place with the mean color of the data set instead of its pixels.
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
