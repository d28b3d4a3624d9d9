"""Images with a part hidden: by random rectangles, and by the objects of other pictures."""

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
    """Objects of pictures, as large and where they are there.

    Attributes:
        pixels: The pictures.
        masks: Where the object of each is.
    """

    pixels: Pixels
    masks: ObjectMasks


def load_occluders(folder: str, *, size: int) -> Occluders:
    """Read pictures and the masks of their objects.

    Args:
        folder: With ``images`` and ``masks`` in it.
        size: Height and width of the images that they are pasted into, as these are stored.

    Raises:
        UserError: If a folder is missing or empty, or files do not belong together.
    """
    places = (Path(folder).expanduser() / name for name in ("images", "masks"))
    images_path, masks_path = map(str, places)
    found = load_image_masks(
        images_path=images_path, masks_path=masks_path, image_size=size, val_fraction=0.0, labels="none"
    ).train
    return Occluders(found.stack(), found.objects())


def occluded(subject: Subject, images: ImageSet, area: float) -> Iterator[Images]:
    """Yield the views of images, batch by batch, with a random rectangle of each in the mean color of the data set.

    For all areas, the rectangles of an image are drawn from the same numbers: what differs is the area.
    """
    masker = RandomMasker(area=area)
    for step, (pixels, _) in enumerate(subject.batches(images)):
        view = subject.view(pixels)
        generator = stream("robustness/blocks", seed=subject.seed, rank=0, step=step, device=view.device)
        yield occlude(view, masker(view, generator=generator), torch.zeros_like(view))


def pasted(subject: Subject, images: ImageSet, objects: Occluders, *, outlines: bool) -> Iterator[Images]:
    """Yield the views of images, batch by batch, with an object of another picture in each, by chance mirrored.

    Args:
        subject: Who looks at them.
        images: The images.
        objects: What is pasted, drawn from the same numbers for outlines and objects.
        outlines: Whether the object's place is filled with the mean color of the data set, instead of its pixels.
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
