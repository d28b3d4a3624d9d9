"""CIFAR-10, CIFAR-100 and STL-10, where torchvision has put them on the disk."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.datasets import CIFAR10, CIFAR100, STL10, VisionDataset

from amask_solo.data.assemble import assemble
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
    mean: Sequence[float] | str = (0.4914, 0.4822, 0.4465),
    std: Sequence[float] | str = (0.2470, 0.2435, 0.2616),
    **settings: Any,
) -> ImageData:
    """Take CIFAR-10 from the folder ``cifar-10-batches-py`` in ``root``.

    Args:
        root: The folder that was given to torchvision for the download.
        image_size: Height and width of the views; the stored images are as in the files.
        mean: Channel means, or ``auto`` to measure them.
        std: Channel standard deviations, or ``auto`` to measure them.
        settings: ``max_images``, the most images to keep of each split: a random subset with equal classes; ``seed``,
            of the subset; and those of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        UserError: If the set is not there.

    References:
        Krizhevsky, `Learning Multiple Layers of Features from Tiny Images
        <https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf>`_, 2009.
    """
    splits = ({"train": True}, {"train": False})
    return _load(CIFAR10, root, splits, image_size=image_size, mean=mean, std=std, **settings)


def load_cifar100(
    *,
    root: str,
    image_size: int = 32,
    mean: Sequence[float] | str = (0.5071, 0.4865, 0.4409),
    std: Sequence[float] | str = (0.2673, 0.2564, 0.2762),
    **settings: Any,
) -> ImageData:
    """Take CIFAR-100 from the folder ``cifar-100-python`` in ``root``; see :func:`load_cifar10`."""
    splits = ({"train": True}, {"train": False})
    return _load(CIFAR100, root, splits, image_size=image_size, mean=mean, std=std, **settings)


def load_stl10(
    *,
    root: str,
    image_size: int = 96,
    mean: Sequence[float] | str = (0.4914, 0.4823, 0.4466),
    std: Sequence[float] | str = (0.2470, 0.2435, 0.2616),
    **settings: Any,
) -> ImageData:
    """Take STL-10 from the folder ``stl10_binary`` in ``root``.

    The labeled and the unlabeled training images (label -1) against the test images. Settings and errors are as in
    :func:`load_cifar10`.

    References:
        Coates et al., `An Analysis of Single-Layer Networks in Unsupervised Feature Learning
        <https://proceedings.mlr.press/v15/coates11a.html>`_, AISTATS 2011.
    """
    splits = ({"split": "train+unlabeled"}, {"split": "test"})
    return _load(STL10, root, splits, image_size=image_size, mean=mean, std=std, **settings)


def _load(
    kind: type[VisionDataset],
    root: str,
    splits: Sequence[Mapping[str, bool | str]],
    /,
    *,
    max_images: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> ImageData:
    found = [_open(kind, root, **split) for split in splits]
    train, val = (_arrays(split, max_images, seed) for split in found)
    return assemble(train, val, found[0].classes, name=kind.__name__.lower(), seed=seed, **settings)


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
