"""The labeled images of a data set, in batches on the device."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from amask_solo.data import ImageSet, make_loader
from amask_solo.data.base import Pixels
from amask_solo.data.subsets import Picks
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Split, Subject

Batch = tuple[Pixels, Int64[Tensor, " n"]]


class Part(ImageSet):
    """Some images of a set.

    Args:
        images: The set.
        picks: Which of its images, in this order.
    """

    def __init__(self, images: ImageSet, picks: Picks) -> None:
        self._images = images
        self._picks = picks.tolist()
        self.labels = images.labels[picks]
        self.masks = None if images.masks is None else images.masks[picks]
        self.size = images.size

    def image(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """Return one image."""
        return self._images.image(self._picks[index])

    def stack(self) -> Pixels:
        """Return these images alone; files are decoded in parallel."""
        if self._picks == list(range(len(self._images))):
            return self._images.stack()
        with ThreadPoolExecutor() as pool:
            return torch.stack(list(pool.map(self._images.image, self._picks)))


def labeled_images(subject: Subject, split: Split) -> Part:
    """Return the images of a split that have a label.

    Raises:
        UserError: If there is no such split, or no image of it has a label.
    """
    images = subject.images(split)
    picks = (images.labels >= 0).nonzero()[:, 0]
    if not subject.data.labeled or not len(picks):
        raise UserError(f"The {split} images of '{subject.data.name}' have no labels, which this protocol needs.")
    return Part(images, picks)


def batches(subject: Subject, images: ImageSet) -> Iterator[Batch]:
    """Yield pixels and labels on the device, in the order of the set."""
    loader = make_loader(images, batch_size=subject.batch_size, shuffle=False, drop_last=False, device=subject.device)
    for _, pixels, labels in loader:
        yield pixels.to(subject.device), labels.to(subject.device)
