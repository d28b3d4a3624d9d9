"""Photographs with a mark on each, as of a logo or a time stamp: a shortcut that hides what they show."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from amask_solo._random import stream
from amask_solo.data.base import ImageData, ImageSet, Pixels
from amask_solo.data.image_folder import load_image_folder
from amask_solo.data.subsets import Picks

FOLDERS = ("train_path", "val_path")
CELLS = 4
"""A mark has this many cells along a side."""


class MarkedImages(ImageSet):
    """Images with a mark of its own on each.

    A mark has 4 x 4 cells of two random colors, and lies anywhere. It depends on the seed and on the place of its image
    in the whole set alone.

    Args:
        images: The images.
        mark: Height and width of a mark, as a share of those of an image.
        name: Of the random stream, so that training and validation images have different marks.
        seed: Of the marks.
        places: The places of the images in the whole set; by default all of them.
    """

    def __init__(self, images: ImageSet, *, mark: float, name: str, seed: int, places: Picks | None = None) -> None:
        self.images, self.labels, self.size = images, images.labels, images.size
        self._mark, self._name, self._seed = mark, name, seed
        self._places = torch.arange(len(images)) if places is None else places

    def image(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """Return one image with its mark."""
        return self._marked(self.images.image(index), index)

    def stack(self) -> Pixels:
        """Return all images with their marks."""
        return torch.stack([self._marked(image, index) for index, image in enumerate(self.images.stack())])

    def select(self, picks: Picks) -> "MarkedImages":
        """Return some of the images, in the order of the picks, with the marks that they have."""
        part = self.images.select(picks)
        return MarkedImages(part, mark=self._mark, name=self._name, seed=self._seed, places=self._places[picks])

    def _marked(self, image: UInt8[Tensor, "3 s s"], index: int) -> UInt8[Tensor, "3 s s"]:
        draw = stream(f"marks/{self._name}", seed=self._seed, rank=0, step=int(self._places[index]), device="cpu")
        size = image.shape[-1]
        side = max(CELLS, round(self._mark * size))
        cells = torch.rand(CELLS, CELLS, generator=draw) < 0.5
        colors = torch.randint(256, (2, 3, 1, 1), generator=draw, dtype=torch.uint8)
        y, x = torch.randint(size - side + 1, (2,), generator=draw).tolist()
        row = torch.arange(side) * CELLS // side
        marked = image.clone()
        marked[:, y : y + side, x : x + side] = torch.where(cells[row][:, row], colors[0], colors[1])
        return marked


def load_marked_folder(
    *,
    train_path: str,
    image_size: int | Literal["auto"] = "auto",
    val_path: str | None = None,
    val_fraction: float = 0.1,
    mark: float = 0.25,
    load_size: int | None = None,
    max_images: int | None = None,
    tune_fraction: float = 0.0,
    seed: int = 0,
    mean: Sequence[float] | str = "auto",
    std: Sequence[float] | str = "auto",
    name: str | None = None,
) -> ImageData:
    """Take the images below a folder as :func:`~amask_solo.data.load_image_folder`, and put a mark on each.

    Two views of an image share its mark, which no other image has, so a network can match views without a look at what
    they show. The variant ``unmarked``, on which the linear protocol scores as well, has the images without marks.

    Minderer et al. and Chen et al. describe such shortcuts; the marks are ours.

    Args:
        train_path: The folder to learn from.
        image_size: Height and width of the views, or ``auto``.
        val_path: The folder to validate on.
        val_fraction: Without ``val_path``, the share of each class that is held out.
        mark: Height and width of a mark, as a share of those of an image, in (0, 1].
        load_size: Height and width of the stored images.
        max_images: The most images to keep of each split.
        tune_fraction: See :func:`~amask_solo.data.assemble.tuning_split`.
        seed: Of the subset, of the splits and of the marks.
        mean: Channel means, or ``auto`` to measure them, without marks.
        std: Channel standard deviations, or ``auto``, likewise.
        name: What the set is called in summaries.

    Raises:
        UserError: If a folder is missing or empty, or a file cannot be read.
        ValueError: If a setting is out of range.

    References:
        Minderer et al., `Automatic Shortcut Removal for Self-Supervised Representation Learning
        <https://arxiv.org/abs/2002.08822>`_, ICML 2020.
    """
    if not 0 < mark <= 1:
        raise ValueError(f"Expected mark in (0, 1], but got {mark}.")
    plain = load_image_folder(
        train_path=train_path,
        image_size=image_size,
        val_path=val_path,
        val_fraction=val_fraction,
        load_size=load_size,
        max_images=max_images,
        tune_fraction=tune_fraction,
        seed=seed,
        mean=mean,
        std=std,
        name=name,
    )
    train = MarkedImages(plain.train, mark=mark, name="train", seed=seed)
    val = None if plain.val is None else MarkedImages(plain.val, mark=mark, name="val", seed=seed)
    return replace(plain, train=train, val=val, variants={"unmarked": plain})
