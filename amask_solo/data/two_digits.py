"""Two digits of different sizes in each image: a case in which one feature hides another."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from amask_solo._random import stream
from amask_solo.data.assemble import assemble
from amask_solo.data.base import ArrayImages, ImageData, ImageSet, Labels, Pixels

KINDS = 10
NAMES = [str(digit) for digit in range(KINDS)]

Writings = tuple[Float[Tensor, "m 1 8 8"], Labels]
"""Handwritten digits from 0 to 1, and which digits they are."""


def make_two_digits(
    *,
    num_train: int = 10000,
    num_val: int = 2000,
    image_size: int = 32,
    large: int = 20,
    small: int = 11,
    seed: int = 0,
    **settings: Any,
) -> ImageData:
    """Draw a large and a small handwritten digit side by side, independently of each other.

    A network can match two views of an image by the large digit alone and never learn to read the small one. The label
    is the large digit. The small one is the label of the variant ``small``, on which the linear protocol scores as
    well. The idea is that of Chen et al.; the layout, and the digits of scikit-learn in place of MNIST, are ours.

    The writings of the validation images do not occur in the training images.

    Args:
        num_train: The number of training images, at least 1.
        num_val: The number of validation images, at least 0; 0 makes no validation set.
        image_size: Height and width, at least ``large + small``.
        large: Height and width of the large digit in pixels, at least those of the small one.
        small: The same for the small digit, at least 1.
        seed: The same seed draws the same images, and splits them in the same way.
        settings: Settings of :func:`~amask_solo.data.assemble.assemble`.

    Raises:
        ValueError: If a number is out of range, or the digits do not fit side by side.

    References:
        Chen et al., `Intriguing Properties of Contrastive Losses <https://arxiv.org/abs/2011.02803>`_, NeurIPS 2021.
    """
    if not 1 <= small <= large or large + small > image_size:
        raise ValueError(
            f"Expected 1 <= small <= large and large + small <= image_size, but got small={small}, large={large} and "
            f"image_size={image_size}."
        )
    if num_train < 1 or num_val < 0:
        raise ValueError(f"Expected num_train >= 1 and num_val >= 0, but got {num_train} and {num_val}.")
    sizes = (large, small)
    train = _draw_set("train", num_train, sizes, image_size=image_size, seed=seed)
    val = _draw_set("val", num_val, sizes, image_size=image_size, seed=seed) if num_val else None
    both = assemble(train, val, NAMES, name="two_digits", image_size=image_size, seed=seed, **settings)
    by_large, by_small = (
        replace(both, train=_relabeled(both.train, place), val=both.val and _relabeled(both.val, place))
        for place in (KINDS, 1)
    )
    return replace(by_large, variants={"small": by_small})


def _writings(split: str) -> Writings:
    """Return every fifth writing for validation, and the others for training."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images).float()[:, None] / 16
    labels = torch.from_numpy(found.target).long()
    picks = (torch.arange(len(labels)) % 5 == 0) == (split == "val")
    return images[picks], labels[picks]


def _draw_set(split: str, count: int, sizes: tuple[int, int], *, image_size: int, seed: int) -> ArrayImages:
    """Return images labeled with both digits, as ten times the large one plus the small one."""
    draw = stream(f"two_digits/{split}", seed=seed, rank=0, step=0, device="cpu")
    written, digits = _writings(split)
    picks = torch.randint(len(digits), (2, count), generator=draw)
    # The side of the large digit, and the places of both across the axis on which they lie.
    corner, axis, *across = torch.rand(4, count, generator=draw)
    canvas = torch.zeros(count, 1, image_size, image_size)
    for number, size in enumerate(sizes):
        glyphs = F.interpolate(written[picks[number]], (size, size), mode="bicubic", antialias=True)
        at_start = (corner < 0.5) == (number == 0)
        along = torch.where(at_start, 0, image_size - size)
        beside = (across[number] * (image_size - size + 1)).long()
        top = torch.where(axis < 0.5, along, beside)
        left = torch.where(axis < 0.5, beside, along)
        for image, glyph, y, x in zip(canvas, glyphs, top.tolist(), left.tolist(), strict=True):
            image[:, y : y + size, x : x + size] = glyph
    pixels: Pixels = canvas.clamp(0, 1).mul(255).round().byte().expand(-1, 3, -1, -1).contiguous()
    return ArrayImages(pixels, KINDS * digits[picks[0]] + digits[picks[1]])


def _relabeled(images: ImageSet, place: int) -> ArrayImages:
    """Return the same images, labeled with one of their digits: 10 for the large one, 1 for the small one."""
    return ArrayImages(images.stack(), images.labels // place % KINDS)
