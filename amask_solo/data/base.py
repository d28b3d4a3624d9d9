"""What a data set is: uint8 images of one size, integer labels and, where known, object masks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from amask_solo.same_images import fingerprint

Pixels = UInt8[Tensor, "n c s s"]
"""Square images as they are stored, before any augmentation: RGB, unless other bands were asked for."""

Labels = Int64[Tensor, " n"]
"""Class numbers; -1 where an image has no label, as the host has it."""

ObjectMasks = Bool[Tensor, "n 1 s s"]
"""Where the labelled object is, or where nobody can tell."""

Segments = UInt8[Tensor, "n 1 s s"]
"""The class of each pixel: 0 for the background, :data:`VOID` where nobody can tell."""

VOID = 255
"""The number of pixels of which nobody can tell what they show, as in Pascal VOC."""

Stat = tuple[float, ...]
"""One number for each channel, on the scale where white is 1."""

Metric = Literal["accuracy", "mean_per_class"]
"""What a set is scored by: the share of images that are right, or the mean of these shares over the classes."""

UNLABELED = -1


class ImageSet(Dataset[tuple[int, UInt8[Tensor, "c s s"], int]], ABC):
    """Images of one size, of which each item is ``(index, image, label)``.

    Attributes:
        labels: One class number for each image, -1 without a label.
        size: Height and width of the stored images, which may exceed the size that is trained on.
        channels: How many channels they have.
        masks: Where the labelled objects are, or None if nobody knows.
        void: Where nobody can tell, such as at the borders of objects; no score counts these pixels. None if nowhere.
        segments: The class of each pixel, or None if nobody knows.
        names: What the images are called, in the order of the indexes; None if they have no names.
        files: The files that they are, or were, read from, in the same order; None if these are no files of images.
    """

    labels: Labels
    size: int
    channels: int = 3
    masks: ObjectMasks | None = None
    void: ObjectMasks | None = None
    segments: Segments | None = None
    names: Sequence[str] | None = None
    files: Sequence[Path] | None = None

    @abstractmethod
    def image(self, index: int) -> UInt8[Tensor, "c s s"]:
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

    def __getitem__(self, index: int) -> tuple[int, UInt8[Tensor, "c s s"], int]:
        return int(index), self.image(index), int(self.labels[index])


class ArrayImages(ImageSet):
    """Images that are already in memory."""

    def __init__(
        self,
        images: Pixels,
        labels: Labels,
        masks: ObjectMasks | None = None,
        void: ObjectMasks | None = None,
        names: Sequence[str] | None = None,
        *,
        segments: Segments | None = None,
        files: Sequence[Path] | None = None,
    ) -> None:
        self.images, self.labels, self.masks, self.void, self.names = images, labels, masks, void, names
        self.segments, self.files = segments, files
        self.channels, self.size = images.shape[1], images.shape[-1]

    def image(self, index: int) -> UInt8[Tensor, "c s s"]:
        """Return one image."""
        return self.images[index]

    def stack(self) -> Pixels:
        """Return the images themselves, not a copy."""
        return self.images

    def select(self, picks: Int64[Tensor, " m"]) -> "ArrayImages":
        """Return some of the images, in the order of the picks."""
        kept = (self.masks, self.void, self.segments)
        masks, void, segments = (None if where is None else where[picks] for where in kept)
        names, files = (
            None if every is None else [every[pick] for pick in picks.tolist()] for every in (self.names, self.files)
        )
        return ArrayImages(self.images[picks], self.labels[picks], masks, void, names, segments=segments, files=files)


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
        value_range: The values of the files that became black and white, measured or given; None if they are 8 bits.
        numbers: The kind of numbers that these are; see :mod:`amask_solo.data.reading`.
        bands: The bands of the files that were taken, from 1; None if these were all.
        fingerprint: What tells this set from another, see :mod:`amask_solo.same_images`.
        variants: Other versions of the same images, by name: with other labels, or changed. The linear protocol scores
            the backbone on each of them as well.
        gaps: Name -> two variants, the difference of whose accuracies is scored too.
        metric: What the papers about the set score.
        counts_as: Of a variant with coarser classes: for each class of the set that it is one of, the class here as
            which a prediction of it counts. None if the classes are the same.
        segment_names: Names in the order of the numbers in ``segments``, the background first; empty without these.
    """

    train: ImageSet
    val: ImageSet | None
    num_classes: int
    class_names: list[str]
    mean: Stat
    std: Stat
    image_size: int
    name: str
    value_range: tuple[float, float] | None = None
    numbers: str | None = None
    bands: tuple[int, ...] | None = None
    variants: Mapping[str, "ImageData"] = field(default_factory=dict)
    gaps: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    metric: Metric = "accuracy"
    counts_as: tuple[int, ...] | None = None
    segment_names: Sequence[str] = ()
    fingerprint: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        parts = [(part.names, part.labels.tolist()) for part in (self.train, self.val) if part is not None]
        known = fingerprint(parts, self.class_names)
        object.__setattr__(self, "fingerprint", known)

    @property
    def reading(self) -> dict[str, Any]:
        """How to read other images alike, as arguments of :func:`~amask_solo.data.load_image_folder`."""
        return reading_of(len(self.mean), self.value_range, self.numbers, self.bands)

    @property
    def object_share(self) -> float | None:
        """How much of the training images is object, void pixels left out; None if nobody knows."""
        if self.train.masks is None:
            return None
        known = torch.ones_like(self.train.masks) if self.train.void is None else ~self.train.void
        return float((self.train.masks & known).sum() / known.sum().clamp(min=1))

    @property
    def labeled(self) -> bool:
        """Whether there are any classes."""
        return bool(self.class_names)


def reading_of(
    channels: int, value_range: Sequence[float | int] | None, numbers: str | None, bands: Sequence[int] | None
) -> dict[str, Any]:
    """Return how to read other images alike, as arguments of :func:`~amask_solo.data.load_image_folder`."""
    ranges = {} if value_range is None else {numbers: tuple(value_range)}
    return {"value_range": ranges, "bands": bands, "channels": "keep" if channels != 3 else None}


def random_sample(count: int, most: int) -> Int64[Tensor, " _"]:
    """Return the places of a sample of so many items, random but always the same.

    Items at equal distances would be those of one kind where kinds take turns.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def sampled(files: Sequence[Path], most: int) -> list[Path]:
    """Return so many of the files, random ones but always the same, in their order."""
    return [files[place] for place in random_sample(len(files), most).tolist()]


def channel_statistics(images: ImageSet, *, max_images: int = 2048) -> tuple[Stat, Stat]:
    """Return channel means and standard deviations over all pixels.

    Args:
        images: The training set.
        max_images: The most images to look at, random ones, but always the same.
    """
    picks = random_sample(len(images), max_images)
    total, squares = torch.zeros(2, images.channels, dtype=torch.float64)
    for index in picks.tolist():
        pixels = images.image(index).flatten(1).float() / 255
        total += pixels.mean(dim=1)
        squares += pixels.square().mean(dim=1)
    mean = total / len(picks)
    # A set of flat images has no spread; dividing by zero would turn its views into NaN.
    std = (squares / len(picks) - mean.square()).clamp(min=1e-6).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())


def resolve_statistics(
    images: ImageSet, *, mean: Sequence[float] | str, std: Sequence[float] | str
) -> tuple[Stat, Stat]:
    """Return the given mean and standard deviation, measuring those that are ``auto``.

    Raises:
        ValueError: If one is neither ``auto`` nor a number for each channel, or no fraction of white.
    """
    measured = channel_statistics(images) if "auto" in (mean, std) else (mean, std)
    mean, std = (
        _stat(found if given == "auto" else given, name, images.channels)
        for found, given, name in zip(measured, (mean, std), ("mean", "std"), strict=True)
    )
    if not all(0 <= value <= 1 for value in mean):
        raise ValueError(f"Expected mean as fractions of white, such as [0.485, 0.456, 0.406], but got {[*mean]}.")
    # Values within [0, 1] spread by at most 0.5, but some divide by 1 to leave them as they are.
    if not all(0 < value <= 1 for value in std):
        raise ValueError(f"Expected std as fractions of white, such as [0.229, 0.224, 0.225], but got {[*std]}.")
    return mean, std


def _stat(values: Sequence[float] | str, name: str, channels: int) -> Stat:
    if isinstance(values, str) or len(values) != channels:
        count = "three numbers" if channels == 3 else f"{channels} number(s)"
        raise ValueError(f"Expected {name} to be 'auto' or {count}, but got {values!r}.")
    return tuple(float(value) for value in values)
