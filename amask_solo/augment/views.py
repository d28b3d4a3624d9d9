"""Random views of a batch of images, made on the device that the images are on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from kornia.enhance import normalize
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from amask_solo.augment.color import change_pixels, draw_changes
from amask_solo.augment.crop import Crops, resized_crop
from amask_solo.augment.sampling import Boxes, Sampler
from amask_solo.augment.schema import Recipe, read_recipes

Pixels = UInt8[Tensor, "b c rows columns"]
"""A batch of images as they were decoded, 0 to 255: RGB, or of other channels."""

Filter = Callable[[Crops], Crops]
"""What every view of a run passes last, in training and in evaluation."""

Statistics = Float[Tensor, "2 c"]
"""Channel means and deviations in [0, 1]."""

_CACHED = 2**19
"""Numbers that a thread works on at a time: 2 MiB."""


class Views:
    """Make the random views of a batch that the host's augmentation schema asks for.

    Every image gets its own parameters. The distribution is that of the host's PIL pipeline, except that pixels are not
    rounded to 8 bits between the operations, and that the four steps of the color jitter come in one random order for
    the batch. This is deliberately no module, so that nothing of it enters a ``state_dict``.

    Args:
        augmentations: The host's list of nodes, as :func:`read_recipes` takes it.
        mean: Channel means of the data set in [0, 1], as many as there are channels. A node's own ``mean`` comes first.
        std: Channel deviations of the data set. A node's own ``std`` comes first.
        view_filter: What the normalized views pass last; nothing by default.

    Attributes:
        recipes: What was read, one entry a node.

    Raises:
        UserError: If the schema is wrong.

    Example:
        >>> node = {"horizontal_flip": {"prob": 0.5}, "crop_size": 8, "num_crops": 2}
        >>> views = Views([node], mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
        >>> [tuple(view.shape) for view in views(images, generator=torch.Generator())]
        [(4, 3, 8, 8), (4, 3, 8, 8)]
    """

    def __init__(
        self,
        augmentations: Sequence[Mapping],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        view_filter: Filter | None = None,
    ) -> None:
        self.view_filter = view_filter
        self.recipes = read_recipes(augmentations, channels=len(mean))
        self._statistics = [_statistics(recipe.mean or mean, recipe.std or std) for recipe in self.recipes]

    @torch.no_grad()
    def __call__(self, images: Pixels, *, generator: torch.Generator) -> list[Crops]:
        """Return the views, in the order of the schema.

        Args:
            images: Images of one size.
            generator: The only source of randomness, on any device; best on that of the images.

        Returns:
            Normalized float32 views of shape ``(B, C, crop_size, crop_size)``, one for each crop.

        Raises:
            ValueError: If the images are not uint8, or have other channels than the statistics.
        """
        _check(images, self._statistics[0].shape[1])
        views: list[Crops] = []
        for i, recipe in enumerate(self.recipes):
            self._statistics[i] = self._statistics[i].to(images.device)  # copied once
            # All crops of a node share one pass, since the number of launches is what costs on a device.
            stacked = images.expand(recipe.num_crops, *images.shape).flatten(0, 1)
            sampler = Sampler(len(stacked), generator=generator, device=images.device)
            with torch.autocast(images.device.type, enabled=False):
                made = _augment(stacked, recipe, sampler, self._statistics[i])
                made = self.view_filter(made) if self.view_filter else made
            views += made.chunk(recipe.num_crops)
        return views

    @torch.no_grad()
    def follow(self, masks: Crops, *, generator: torch.Generator) -> list[Crops]:
        """Return where masks of the images get to in the views that are made by the same random numbers.

        Args:
            masks: A mask of zeros and ones for each image, ``(B, 1, H, W)``.
            generator: In the state in which the views of these images are made.

        Returns:
            Masks of zeros and ones, one for each view.
        """
        followed: list[Crops] = []
        for recipe in self.recipes:
            stacked = masks.expand(recipe.num_crops, *masks.shape).flatten(0, 1)
            boxes, flip, _ = _draw(stacked, recipe, Sampler(len(stacked), generator=generator, device=masks.device))
            moved = resized_crop(stacked, boxes, flip, recipe.crop_size) > 0.5
            followed += moved.to(masks.dtype).chunk(recipe.num_crops)
        return followed


def _draw(images: Tensor, recipe: Recipe, sampler: Sampler) -> tuple[Boxes, Tensor, Any]:
    """Return what is random in a view, in the order in which it is drawn: boxes, flips, changes of the pixels."""
    count, _, height, width = images.shape
    if recipe.crop_scale is not None:
        boxes = sampler.crop_boxes(height, width, recipe.crop_scale)
    else:
        boxes = _central_square(count, height, width, images.device)
    flip = sampler.chance(recipe.flip)
    return boxes, flip, draw_changes(recipe, sampler)


def _augment(images: Pixels, recipe: Recipe, sampler: Sampler, statistics: Statistics) -> Crops:
    boxes, flip, changes = _draw(images, recipe, sampler)
    count, channels, size = *images.shape[:2], recipe.crop_size
    views = torch.empty((count, channels, size, size), device=images.device)
    mean, std = statistics[:, :, None, None]
    for rows in _portions(images, size):
        part = resized_crop(images[rows] / 255, boxes.of(rows), flip[rows], size)
        torch.sub(change_pixels(part, changes, rows), mean, out=views[rows]).div_(std)
    return views


def _portions(images: Pixels, size: int) -> list[slice]:
    """Return which images are worked on at a time: all on a device, on a CPU what its cache holds.

    At 224 pixels these are two images for each thread; a whole batch, through memory in every operation, takes 2.7
    times as long.
    """
    count, channels, height, width = images.shape
    if images.device.type != "cpu":
        return [slice(count)]
    step = max(1, _CACHED * torch.get_num_threads() // (channels * max(height * width, size**2)))
    return [slice(start, start + step) for start in range(0, count, step)]


def _central_square(count: int, height: int, width: int, device: torch.device) -> Boxes:
    side = min(height, width)
    box = ((height - side) // 2, (width - side) // 2, side, side)
    return Boxes(*(torch.full((count,), float(value), device=device) for value in box))


def evaluation_view(
    images: Pixels, *, mean: Sequence[float], std: Sequence[float], size: int, view_filter: Filter | None = None
) -> Crops:
    """Return the normalized view that validation sees, of the pixels of :func:`evaluation_crop`; see :class:`Views`.

    Raises:
        ValueError: If the images are not uint8, or have other channels than the statistics.

    Example:
        >>> images = torch.zeros(2, 3, 40, 60, dtype=torch.uint8)
        >>> evaluation_view(images, mean=(0.0,) * 3, std=(1.0,) * 3, size=28).shape
        torch.Size([2, 3, 28, 28])
    """
    _check(images, len(mean))
    with torch.autocast(images.device.type, enabled=False):
        view = normalize(evaluation_crop(images, size) / 255, *_statistics(mean, std).to(images.device))
        return view_filter(view) if view_filter else view


def evaluation_crop(images: Pixels, size: int) -> UInt8[Tensor, "b c s s"]:
    """Return the part of images that validation sees.

    Images of ``size`` by ``size`` are left as they are, as the host treats CIFAR and STL-10. Others are resized so that
    their short side is 8/7 of ``size`` and cropped in the center, as the host does with ImageNet (256 and 224).

    Raises:
        ValueError: If the images are not uint8.
    """
    _check(images, images.shape[1])
    if tuple(images.shape[-2:]) == (size, size):
        return images
    return center_crop(resize(images, [round(size * 8 / 7)]), [size, size])


def _statistics(mean: Sequence[float], std: Sequence[float]) -> Statistics:
    return torch.tensor([tuple(mean), tuple(std)], dtype=torch.float32)


def _check(images: Tensor, channels: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(
            f"Expected uint8 images of shape (B, {channels}, H, W), but got {images.dtype} of shape "
            f"{tuple(images.shape)}; pass the pixels as they were decoded, 0 to 255."
        )
