"""The files, classes and splits of published data sets, as their own lists give them."""

import json
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets

from amask_solo.data.file_images import Files
from amask_solo.errors import UserError, nearest

Listing = tuple[Sequence[tuple[Path, int]], list[str]]
"""The path and the class number of each image, and the names of the classes in the order of their numbers."""


def list_split(kind: str, root: Path, split: Mapping[str, Any], *, download: bool = False) -> tuple[Files, list[str]]:
    """Return the files of a split of a published data set, and the names of its classes.

    Args:
        kind: ``coco`` or ``tiny_imagenet``, see :func:`coco` and :func:`tiny_imagenet`, or the name of a class in
            ``torchvision.datasets``.
        root: The folder that holds the set.
        split: What the class is given to choose the split; its ``folder``, if there is one, is below ``root``.
        download: Whether torchvision is to get what is missing.

    Raises:
        UserError: If there is no such class, it takes no such argument, or its files are missing or incomplete.
    """
    more = dict(split)
    place = root / more.pop("folder", "")
    lister = LISTERS.get(kind) or _of_torchvision(kind)
    if download:
        more["download"] = True
    try:
        samples, class_names = lister(place, **more)
    except (RuntimeError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"Cannot read the lists of {kind} in {place} with {dict(split)}: {error}.") from error
    if not samples:
        raise UserError(f"Expected images of {kind} in {place} with {dict(split)}, but there are none.")
    paths, labels = zip(*samples, strict=True)
    return Files([*paths], torch.tensor(labels), root), class_names


def coco(root: Path, annotations: str) -> Listing:
    """Return the images of a JSON file in the format of COCO, of one class each, as those of iNaturalist.

    The file lies in ``root``, and so do its ``file_name`` entries.
    """
    content = json.loads((root / annotations).read_text())
    classes = sorted(content["categories"], key=lambda category: category["id"])
    numbers = {category["id"]: number for number, category in enumerate(classes)}
    kinds = {entry["image_id"]: numbers[entry["category_id"]] for entry in content["annotations"]}
    samples = [(root / image["file_name"], kinds[image["id"]]) for image in content["images"]]
    return samples, [str(category["name"]) for category in classes]


def tiny_imagenet(root: Path, split: str) -> Listing:
    """Return the ``train`` or ``val`` images of Tiny ImageNet.

    Validation images have their classes in ``val_annotations.txt``, unless they have been sorted into folders.
    """
    names = (root / "wnids.txt").read_text().split()
    numbers = {name: number for number, name in enumerate(names)}
    notes = root / split / f"{split}_annotations.txt"
    if (root / split / "images").is_dir() and notes.is_file():
        rows = [line.split("\t")[:2] for line in notes.read_text().splitlines()]
        return [(root / split / "images" / file, numbers[name]) for file, name in rows], names
    files = sorted((root / split).glob("*/**/*.JPEG"))
    return [(file, numbers[file.relative_to(root / split).parts[0]]) for file in files], names


LISTERS: dict[str, Callable[..., Listing]] = {"coco": coco, "tiny_imagenet": tiny_imagenet}


def _of_torchvision(kind: str) -> Callable[..., Listing]:
    make = getattr(datasets, kind) if kind in datasets.__all__ else None
    if not isinstance(make, type):
        close = nearest(kind, [*LISTERS, *datasets.__all__])
        raise UserError(f"Expected data.kind to be a class in torchvision.datasets, but got {kind!r}{close}")

    def lister(root: Path, **split: Any) -> Listing:
        # A loader that returns its argument: the path is what is asked for, not the image.
        given = {"loader": Path} if "loader" in signature(make).parameters else {}
        data = make(root, **split, **given)
        if given:
            return [(path, int(label)) for path, label in (data[place] for place in range(len(data)))], [*data.classes]
        if isinstance(data, datasets.OxfordIIITPet):
            return [*zip(data._images, data._labels, strict=True)], [*data.classes]
        if isinstance(data, datasets.Caltech101):
            folder, names = Path(data.root, "101_ObjectCategories"), data.categories
            pairs = zip(data.y, data.index, strict=True)
            return [(folder / names[label] / f"image_{number:04d}.jpg", label) for label, number in pairs], [*names]
        raise TypeError(f"{kind} does not say in which files its images are")

    return lister
