"""Pascal VOC: photographs with the class of each pixel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import VOCSegmentation

from amask_solo.data.assemble import assemble
from amask_solo.data.base import UNLABELED, VOID, ArrayImages, ImageData
from amask_solo.data.decode import decode_all
from amask_solo.data.mask_files import read_segments
from amask_solo.data.subsets import balanced_subset
from amask_solo.errors import UserError
from amask_solo.files import check_holds, expanded

OBJECTS = True
LABELS = False

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def load_voc(
    *,
    root: str,
    year: int = 2012,
    train: str = "train",
    val: str = "val",
    holds: Sequence[str] = (),
    source: str | None = None,
    download: bool = False,
    image_size: int = 224,
    max_images: int | None = None,
    seed: int = 0,
    name: str = "voc",
    **settings: Any,
) -> ImageData:
    """Take the segmentation images of Pascal VOC, as torchvision unpacks them.

    Images and classes of pixels are resized and cropped alike, to ``image_size``, and kept in memory. Objects are all
    pixels of the 20 classes; those numbered 255 are void and count in no score. Images have several objects, and so no
    label of their own.

    Args:
        root: The folder that was given to torchvision for the download.
        year: 2007 to 2012.
        train: The split to learn from: ``train`` or ``trainval``.
        val: The split to score on: ``val``, or ``test`` of 2007.
        holds: Paths below ``root`` without which nothing can be read, for the error that says so.
        source: Where to get the set.
        download: Whether torchvision gets it, if it is missing.
        image_size: Height and width of images and views.
        max_images: The most images to keep of each split, drawn at random.
        seed: Of the subset and of the split.
        name: What the set is called in summaries.
        settings: Settings of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        UserError: If the set is not there, in one line that names what is expected where.

    References:
        Everingham et al., `The Pascal Visual Object Classes Challenge <http://host.robots.ox.ac.uk/pascal/VOC/>`_,
        IJCV 2010.
    """
    folder = expanded(root)
    if not download:
        check_holds(name, folder, holds, source=source, can_download=True)
    try:
        splits = [VOCSegmentation(folder, str(year), split, download) for split in (train, val)]
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"Cannot read VOC {year} in data.root={folder}: {error}.") from error
    first, second = (_arrays(split, folder, image_size, max_images, seed) for split in splits)
    data = assemble(first, second, (), name=name, image_size=image_size, seed=seed, **settings)
    return replace(data, segment_names=CLASSES)


def _arrays(split: VOCSegmentation, folder: Path, size: int, max_images: int | None, seed: int) -> ArrayImages:
    labels = torch.full((len(split),), UNLABELED)
    picks = balanced_subset(labels, max_images, seed=seed)
    images, masks = ([Path(paths[pick]) for pick in picks.tolist()] for paths in (split.images, split.masks))
    segments = read_segments(masks, size=size)
    void = segments == VOID
    names = [str(image.relative_to(folder)) for image in images]
    pixels = decode_all(images, size=size)
    objects = (segments > 0) & ~void
    return ArrayImages(pixels, labels[picks], objects, void, names, segments=segments, files=images)
