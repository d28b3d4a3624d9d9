"""Photographs with a mark on each, as of a logo or a time stamp: a shortcut that hides what they show."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from amask_solo._random import stream
from amask_solo.data.base import ImageData, ImageSet, Pixels
from amask_solo.data.image_folder import load_image_folder
from amask_solo.data.subsets import Picks

FOLDERS = ("train_path", "val_path", "root")
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
        self.names, self.files = images.names, images.files
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


def load_marked_folder(*, mark: float = 0.25, seed: int = 0, **folder: Any) -> ImageData:
    """Take the images below a folder as :func:`~amask_solo.data.load_image_folder`, and put a mark on each.

    Two views of an image share its mark, which no other image has, so a network can match views without a look at what
    they show. The variant ``unmarked``, on which the linear protocol scores as well, has the images without marks.

    Minderer et al. and Chen et al. describe such shortcuts; the marks are ours.

    Args:
        mark: Height and width of a mark, as a share of those of an image, in (0, 1].
        seed: Of the subset, of the splits and of the marks.
        folder: Settings of :func:`~amask_solo.data.load_image_folder`, for images of 8 bits in color; means and
            deviations are measured without marks.

    Raises:
        UserError: If a folder is missing or empty, or a file cannot be read.
        ValueError: If a setting is out of range.

    References:
        Minderer et al., `Automatic Shortcut Removal for Self-Supervised Representation Learning
        <https://arxiv.org/abs/2002.08822>`_, ICML 2020.
    """
    if not 0 < mark <= 1:
        raise ValueError(f"Expected mark in (0, 1], but got {mark}.")
    plain = load_image_folder(seed=seed, labels="auto", value_range=None, bands=None, channels=None, **folder)
    train = MarkedImages(plain.train, mark=mark, name="train", seed=seed)
    val = None if plain.val is None else MarkedImages(plain.val, mark=mark, name="val", seed=seed)
    return replace(plain, train=train, val=val, variants={"unmarked": plain})
