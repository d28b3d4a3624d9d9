"""What a data set is: uint8 images of one size, integer labels and, where known, object masks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

Pixels = UInt8[Tensor, "n 3 s s"]
"""Square images as they are stored, before any augmentation."""

Labels = Int64[Tensor, " n"]
"""Class numbers; -1 where an image has no label, as the host has it."""

ObjectMasks = Bool[Tensor, "n 1 s s"]
"""Where the labelled object is."""

Stat = tuple[float, float, float]
"""One number for each channel, on the scale where white is 1."""

UNLABELED = -1


class ImageSet(Dataset[tuple[int, UInt8[Tensor, "3 s s"], int]], ABC):
    """Images of one size, of which each item is ``(index, image, label)``.

    Attributes:
        labels: One class number for each image, -1 without a label.
        size: Height and width of the stored images, which may exceed the size that is trained on.
        masks: Where the labelled objects are, or None if nobody knows.
    """

    labels: Labels
    size: int
    masks: ObjectMasks | None = None

    @abstractmethod
    def image(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """Return one image."""

    @abstractmethod
    def stack(self) -> Pixels:
        """Return all images as one tensor, in the order of the indexes."""

    @abstractmethod
    def select(self, picks: Int64[Tensor, " m"]) -> "ImageSet":
        """Return some of the images, in the order of the picks."""

    def objects(self) -> ObjectMasks:
        """Return where the labelled objects are.

        Raises:
            ValueError: If nobody knows.
        """
        if self.masks is None:
            raise ValueError("Expected images with masks of their objects, but these have none.")
        return self.masks

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[int, UInt8[Tensor, "3 s s"], int]:
        return int(index), self.image(index), int(self.labels[index])


class ArrayImages(ImageSet):
    """Images that are already in memory."""

    def __init__(self, images: Pixels, labels: Labels, masks: ObjectMasks | None = None) -> None:
        self.images, self.labels, self.masks = images, labels, masks
        self.size = images.shape[-1]

    def image(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """Return one image."""
        return self.images[index]

    def stack(self) -> Pixels:
        """Return the images themselves, not a copy."""
        return self.images

    def select(self, picks: Int64[Tensor, " m"]) -> "ArrayImages":
        """Return some of the images, in the order of the picks."""
        masks = None if self.masks is None else self.masks[picks]
        return ArrayImages(self.images[picks], self.labels[picks], masks)


@dataclass(frozen=True)
class ImageData:
    """A training set, perhaps a validation set, and what a run needs to know about them.

    Attributes:
        train: The images to learn from.
        val: The images for online classifier and kNN, or None.
        num_classes: At least 1, the host's convention for a set without labels.
        class_names: Names in the order of the class numbers; empty without labels.
        mean: Channel means of the training images.
        std: Channel standard deviations of the training images.
        image_size: Height and width of the views; the stored images may be larger.
        name: What it is called in summaries.
        variants: Other versions of the same images, by name: with other labels, or changed. The linear protocol scores
            the backbone on each of them as well.
    """

    train: ImageSet
    val: ImageSet | None
    num_classes: int
    class_names: list[str]
    mean: Stat
    std: Stat
    image_size: int
    name: str
    variants: Mapping[str, "ImageData"] = field(default_factory=dict)

    @property
    def labeled(self) -> bool:
        """Whether there are any classes."""
        return bool(self.class_names)


def channel_statistics(images: ImageSet, *, max_images: int = 2048) -> tuple[Stat, Stat]:
    """Return channel means and standard deviations over all pixels.

    Args:
        images: The training set.
        max_images: The most images to look at, evenly spread over the set.
    """
    picks = torch.arange(len(images))[:: -(-len(images) // max_images)]
    total = torch.zeros(3, dtype=torch.float64)
    squares = torch.zeros(3, dtype=torch.float64)
    for index in picks.tolist():
        pixels = images.image(index).flatten(1).float() / 255
        total += pixels.mean(dim=1)
        squares += pixels.square().mean(dim=1)
    mean = total / len(picks)
    # A set of flat images has no spread; dividing by zero would turn its views into NaN.
    std = (squares / len(picks) - mean.square()).clamp(min=1e-6).sqrt()
    return _stat(mean.tolist(), "mean"), _stat(std.tolist(), "std")


def resolve_statistics(
    images: ImageSet, *, mean: Sequence[float] | str, std: Sequence[float] | str
) -> tuple[Stat, Stat]:
    """Return the given mean and standard deviation, measuring those that are ``auto``.

    Raises:
        ValueError: If one is neither ``auto`` nor three numbers, or a deviation is not positive.
    """
    measured = channel_statistics(images) if "auto" in (mean, std) else (mean, std)
    mean, std = (
        _stat(found if given == "auto" else given, name)
        for found, given, name in zip(measured, (mean, std), ("mean", "std"), strict=True)
    )
    if min(std) <= 0:
        raise ValueError(f"Expected std to be positive, but got {std}; give fractions of white.")
    return mean, std


def _stat(values: Sequence[float] | str, name: str) -> Stat:
    if isinstance(values, str) or len(values) != 3:
        raise ValueError(f"Expected {name} to be 'auto' or three numbers, but got {values!r}.")
    red, green, blue = (float(value) for value in values)
    return red, green, blue
