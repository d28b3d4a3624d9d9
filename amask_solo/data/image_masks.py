"""Folders of images and of masks that say where the object is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from amask_solo.data.assemble import assemble
from amask_solo.data.base import ArrayImages, ImageData, ObjectMasks
from amask_solo.data.contrast import warn_if_flat
from amask_solo.data.decode import decode_all
from amask_solo.data.file_images import Files
from amask_solo.data.folder_tree import scan_folder
from amask_solo.data.hold_out import hold_out
from amask_solo.data.mask_files import MaskValues, read_masks
from amask_solo.data.opening import ignored_warnings
from amask_solo.data.reading import Ranges, make_reading
from amask_solo.data.sizes import check_image_size, resolve_image_size
from amask_solo.data.subsets import balanced_subset
from amask_solo.data.values import shown_size
from amask_solo.errors import UserError
from amask_solo.files import expanded

FOLDERS = ("images_path", "masks_path")
OBJECTS = True


def load_image_masks(
    *,
    images_path: str,
    masks_path: str,
    image_size: int | Literal["auto"] = "auto",
    val_fraction: float = 0.2,
    labels: Literal["auto", "none"] = "auto",
    max_images: int | None = None,
    seed: int = 0,
    value_range: Ranges | Sequence[int | float] | str | None = None,
    bands: Sequence[int] | None = None,
    channels: Literal["rgb", "keep"] | None = None,
    mask_values: MaskValues = "auto",
    name: str | None = None,
    **settings: Any,
) -> ImageData:
    """Take pairs of an image and the mask of its object, two files of the same name in two folders.

    ``images/cat/01.jpg`` belongs to ``masks/cat/01.png``; only the suffixes may differ. An object is where a gray mask
    is brighter than half, or where the index of a mask with a palette of colors is above 0; its index 255 is void, as
    in Pascal VOC, and counts in no score (in files of more than 8 bits, so are 65535 and -1). Both are resized and
    cropped alike, to ``image_size``, so that masks fit the views of the evaluation; all of them are kept in memory.

    Args:
        images_path: The folder of images, at any depth.
        masks_path: The folder of masks, of any image format: gray, of one bit, or indexed.
        image_size: Height and width of images, masks and views, or ``auto``: the median of the shorter sides of the
            images, at most 224; see :func:`~amask_solo.data.sizes.resolve_image_size`.
        val_fraction: This share is held out, of each class if there are any; 0 holds out nothing.
        labels: ``auto`` takes the sub-folders as classes if there are at least two, and no image may lie beside them;
            ``none`` takes no labels.
        max_images: The most pairs to keep of each split, at least 1: a random subset with equal classes.
        seed: Of the subset and of the splits.
        value_range: As in :func:`~amask_solo.data.file_images.load_files`.
        bands: As there.
        channels: As there.
        mask_values: What the values of masks mean: ``index``, ``brightness``, or ``auto`` by the kind of file.
        name: What the set is called in summaries; by default as the folder of images.
        settings: Settings of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        UserError: If a folder is missing or empty, a file has no partner or cannot be read, the two of a pair differ in
            shape, or no mask shows any object.
        ValueError: If a setting is out of range.
    """
    check_image_size(image_size)
    found, classes = scan_folder(images_path, labels=labels, key="data.images_path")
    masks = _pair(found, scan_folder(masks_path, labels="none", key="data.masks_path")[0])
    parts = hold_out(found.labels, val_fraction, seed=seed, files=found.files)
    # After the split: what a choice of fewer pairs holds out is a part of what all of them would hold out.
    kept = [part[balanced_subset(found.labels[part], max_images, seed=seed)] for part in parts]
    picks = torch.cat(kept).sort().values
    files, all_labels, root = found.select(picks)
    image_size = resolve_image_size(image_size, files)
    reading = make_reading(files, value_range=value_range, bands=bands, channels=channels)
    images = decode_all(files, size=image_size, reading=reading)
    partners = [masks[file] for file in files]
    objects, void = read_masks(partners, size=image_size, values=mask_values)
    with ignored_warnings():
        _check_masks(partners, files, objects)
    names = [str(file.relative_to(root)) for file in files]
    every = ArrayImages(images, all_labels, objects, void, names, files=files)
    warn_if_flat(every, files, reading)
    train, val = (every.select(torch.searchsorted(picks, part)) for part in kept)
    given = (train, val if len(val) else None, classes, reading)
    name = name or expanded(images_path).resolve().name
    return assemble(*given, name=name, image_size=image_size, seed=seed, **settings)


def _pair(images: Files, masks: Files) -> dict[Path, Path]:
    """Return the mask of each image."""
    places = _by_stem(masks)
    partners = {stem: (file, places.pop(stem, None)) for stem, file in _by_stem(images).items()}
    lonely = [file for file, mask in partners.values() if mask is None]
    for odd, others in ((lonely, masks.root), (list(places.values()), images.root)):
        if odd:
            raise UserError(
                f"Expected a file of the same name as '{odd[0]}', but for the suffix, in '{others}', but there is "
                f"none ({len(odd)} such file(s)); every image needs its mask and every mask its image, "
                "in the same sub-folder."
            )
    return {file: mask for file, mask in partners.values() if mask is not None}


def _by_stem(part: Files) -> dict[Path, Path]:
    """Return the files by their path in the folder without suffix."""
    found: dict[Path, Path] = {}
    for file in part.files:
        first = found.setdefault(file.relative_to(part.root).with_suffix(""), file)
        if first != file:
            raise UserError(f"Expected one file a name, but got '{first}' and '{file}'; remove or rename one.")
    return found


def _check_masks(masks: Sequence[Path], images: Sequence[Path], objects: ObjectMasks) -> None:
    for mask, image in zip(masks, images, strict=True):
        (mask_width, mask_height), (width, height) = shown_size(mask), shown_size(image)
        # A mask may be coarser than its image: the sides of the two then differ by less than one of its pixels.
        if abs(mask_width / mask_height * height - width) > max(width / mask_width, 1.0) + 1:
            raise UserError(
                f"Expected the mask '{mask}' to have the shape of its image, but it has {mask_width} x {mask_height} "
                f"pixels and the image {width} x {height}; it would be cropped differently."
            )
    if objects.all():
        raise UserError(
            f"All of every mask in '{masks[0].parent}' is object; transparency says nothing. Save masks that are black "
            "around their object."
        )
    if not objects.any():
        raise UserError(
            f"No mask in '{masks[0].parent}' shows an object; objects in gray masks must be brighter than half (255, "
            "not 1), unless data.mask_values=index says that their values are classes."
        )
