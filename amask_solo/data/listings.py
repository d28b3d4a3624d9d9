"""The files, classes and splits of published data sets, as their own lists give them."""

import json
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torchvision import datasets

from amask_solo.data.file_images import Files
from amask_solo.errors import UserError, nearest


class Listing(NamedTuple):
    """A split of a data set.

    Attributes:
        samples: The path of each image, and its class number.
        class_names: Names in the order of the class numbers.
    """

    samples: list[tuple[Path, int]]
    class_names: list[str]

    def files(self, root: Path) -> Files:
        """Return the files, with a folder around them."""
        paths, labels = zip(*self.samples, strict=True)
        return Files([*paths], torch.tensor(labels), root)


def list_split(kind: str, root: Path, split: Mapping[str, Any], *, download: bool = False) -> Listing:
    """Return a split of a published data set.

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
    root /= more.pop("folder", "")
    lister = LISTERS.get(kind) or _of_torchvision(kind)
    if download:
        more["download"] = True
    try:
        listing = lister(root, **more)
    except (RuntimeError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"Cannot read the lists of {kind} in {root} with {dict(split)}: {error}.") from error
    if not listing.samples:
        raise UserError(f"Expected images of {kind} in {root} with {dict(split)}, but there are none.")
    return listing


def coco(root: Path, annotations: str) -> Listing:
    """Return the images of a JSON file in the format of COCO, of one class each, as those of iNaturalist.

    Args:
        root: The folder of the file, below which its ``file_name`` entries lie.
        annotations: The name of the file.
    """
    content = json.loads((root / annotations).read_text())
    classes = sorted(content["categories"], key=lambda category: category["id"])
    numbers = {category["id"]: number for number, category in enumerate(classes)}
    kinds = {entry["image_id"]: numbers[entry["category_id"]] for entry in content["annotations"]}
    samples = [(root / image["file_name"], kinds[image["id"]]) for image in content["images"]]
    return Listing(samples, [str(category["name"]) for category in classes])


def tiny_imagenet(root: Path, split: str) -> Listing:
    """Return the ``train`` or ``val`` images of Tiny ImageNet.

    Validation images have their classes in ``val_annotations.txt``, unless they have been sorted into folders.
    """
    names = (root / "wnids.txt").read_text().split()
    numbers = {name: number for number, name in enumerate(names)}
    notes = root / split / f"{split}_annotations.txt"
    if (root / split / "images").is_dir() and notes.is_file():
        rows = [line.split("\t")[:2] for line in notes.read_text().splitlines()]
        return Listing([(root / split / "images" / file, numbers[name]) for file, name in rows], names)
    files = sorted((root / split).glob("*/**/*.JPEG"))
    return Listing([(file, numbers[file.relative_to(root / split).parts[0]]) for file in files], names)


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
        samples = _samples(data, bool(given))
        return Listing(samples, list(data.categories if isinstance(data, datasets.Caltech101) else data.classes))

    return lister


def _samples(data: Any, by_loader: bool) -> list[tuple[Path, int]]:
    if by_loader:
        return [(path, int(label)) for path, label in (data[place] for place in range(len(data)))]
    if isinstance(data, datasets.Caltech101):
        folder, names = Path(data.root, "101_ObjectCategories"), data.categories
        pairs = zip(data.y, data.index, strict=True)
        return [(folder / names[label] / f"image_{number:04d}.jpg", label) for label, number in pairs]
    if isinstance(data, datasets.OxfordIIITPet):
        return list(zip(data._images, data._labels, strict=True))
    raise TypeError(f"{type(data).__name__} does not say in which files its images are")
