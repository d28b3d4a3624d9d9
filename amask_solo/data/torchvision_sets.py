"""CIFAR-10, CIFAR-100 and STL-10, where torchvision has put them on the disk."""

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100, STL10, VisionDataset

from amask_solo.data.assemble import assemble, tuning_split
from amask_solo.data.base import ArrayImages, ImageData
from amask_solo.data.subsets import balanced_subset
from amask_solo.files import expanded, missing_set

HOLDS = {
    "load_cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "load_cifar100": ("CIFAR100", "cifar-100-python"),
    "load_stl10": ("STL10", "stl10_binary"),
}
"""Function -> torchvision's name of the set, and the folder that it has in ``root``."""

SCORED_ON = "test"
"""What its validation images are, for reports."""


def load_cifar10(
    *,
    root: str,
    image_size: int = 32,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    seed: int = 0,
    mean: Sequence[float] | str = (0.4914, 0.4822, 0.4465),
    std: Sequence[float] | str = (0.2470, 0.2435, 0.2616),
) -> ImageData:
    """Take CIFAR-10 from the folder ``cifar-10-batches-py`` in ``root``.

    Args:
        root: The folder that was given to torchvision for the download.
        image_size: Height and width of the views; the stored images are as in the files.
        max_images: The most images to keep of each split: a random subset with equal classes.
        tune_fraction: Above 0, validate on this share of each class of the training images, and train on the others:
            for choosing settings, while nobody looks at the test images.
        seed: Of the subset and of the split.
        mean: Channel means, or ``auto`` to measure them.
        std: Channel standard deviations, or ``auto`` to measure them.

    Raises:
        UserError: If the set is not there.

    References:
        Krizhevsky, `Learning Multiple Layers of Features from Tiny Images
        <https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf>`_, 2009.
    """
    splits = [_open(CIFAR10, root, train=True), _open(CIFAR10, root, train=False)]
    train, val = (_arrays(split, max_images, seed) for split in splits)
    parts = tuning_split(train, val, tune_fraction, seed=seed)
    return assemble(parts, splits[0].classes, mean=mean, std=std, image_size=image_size, name="cifar10")


def load_cifar100(
    *,
    root: str,
    image_size: int = 32,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    seed: int = 0,
    mean: Sequence[float] | str = (0.5071, 0.4865, 0.4409),
    std: Sequence[float] | str = (0.2673, 0.2564, 0.2762),
) -> ImageData:
    """Take CIFAR-100 from the folder ``cifar-100-python`` in ``root``; see :func:`load_cifar10`."""
    splits = [_open(CIFAR100, root, train=True), _open(CIFAR100, root, train=False)]
    train, val = (_arrays(split, max_images, seed) for split in splits)
    parts = tuning_split(train, val, tune_fraction, seed=seed)
    return assemble(parts, splits[0].classes, mean=mean, std=std, image_size=image_size, name="cifar100")


def load_stl10(
    *,
    root: str,
    image_size: int = 96,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    seed: int = 0,
    mean: Sequence[float] | str = (0.4914, 0.4823, 0.4466),
    std: Sequence[float] | str = (0.2470, 0.2435, 0.2616),
) -> ImageData:
    """Take STL-10 from the folder ``stl10_binary`` in ``root``.

    The labeled and the unlabeled training images (label -1) against the test images. Settings and errors are as in
    :func:`load_cifar10`.

    References:
        Coates et al., `An Analysis of Single-Layer Networks in Unsupervised Feature Learning
        <https://proceedings.mlr.press/v15/coates11a.html>`_, AISTATS 2011.
    """
    splits = [_open(STL10, root, split="train+unlabeled"), _open(STL10, root, split="test")]
    train, val = (_arrays(split, max_images, seed) for split in splits)
    parts = tuning_split(train, val, tune_fraction, seed=seed)
    return assemble(parts, splits[0].classes, mean=mean, std=std, image_size=image_size, name="stl10")


def _open(kind: type[VisionDataset], root: str, **split: bool | str) -> VisionDataset:
    folder = expanded(root)
    try:
        return kind(folder, download=False, **split)
    except (RuntimeError, OSError) as error:
        raise missing_set(kind.__name__, folder, kind.base_folder) from error


def _arrays(data: VisionDataset, max_images: int | None, seed: int) -> ArrayImages:
    """Take what torchvision has read; STL-10 has its channels first, and CIFAR has them last."""
    channels_first = isinstance(data, STL10)
    images = data.data if channels_first else data.data.transpose(0, 3, 1, 2)
    labels = torch.tensor(data.labels if channels_first else data.targets).long()
    picks = balanced_subset(labels, max_images, seed=seed)
    return ArrayImages(torch.from_numpy(np.ascontiguousarray(images[picks.numpy()])), labels[picks])
