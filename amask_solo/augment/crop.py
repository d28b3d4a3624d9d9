"""Crop, resize and flip as one step, antialiased as PIL does it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from amask_solo._types import Images
from amask_solo.augment.sampling import Boxes

Crops = Float[Tensor, "b c _ _"]
"""Images of another height and width than those that they were cut from."""


def resized_crop(images: Images, boxes: Boxes, flip: Bool[Tensor, " b"], size: int) -> Crops:
    """Cut a box out of each image, resize it to ``size`` by ``size``, and mirror some.

    :func:`crop_by_matrices` serves devices and :func:`crop_each` CPUs, with the same result to rounding.

    Args:
        images: Images in [0, 1].
        boxes: One box an image, in pixels, inside the image.
        flip: Which images to mirror from left to right.
        size: Height and width of the result, which is in [0, 1] too.
    """
    crop = crop_each if images.device.type == "cpu" else crop_by_matrices
    return crop(images, boxes, flip, size)


def crop_each(images: Images, boxes: Boxes, flip: Bool[Tensor, " b"], size: int) -> Crops:
    """Crop image by image with PyTorch's antialiased bicubic filter, which is PIL's.

    It touches only the pixels of the box. The host has to know the boxes, for which it would wait for a device.
    """
    crops = images.new_empty((*images.shape[:2], size, size))
    places = torch.stack([*boxes, flip], dim=1).int().tolist()
    for image, crop, (top, left, height, width, mirrored) in zip(images, crops, places, strict=True):
        box = image[None, :, top : top + height, left : left + width]
        # The cubic overshoots at edges; PIL cuts that off after either axis, the columns first.
        narrowed = interpolate(box, (height, size), mode="bicubic", antialias=True).clamp_(0, 1)
        resized = interpolate(narrowed, (size, size), mode="bicubic", antialias=True)[0]
        crop.copy_(resized.flip(-1) if mirrored else resized)
    return crops.clamp_(0, 1)


def crop_by_matrices(images: Images, boxes: Boxes, flip: Bool[Tensor, " b"], size: int) -> Crops:
    r"""Crop the whole batch at once.

    Bicubic resampling of a box is separable, so with one matrix for the rows and one for the columns of each image,
    :math:`y = R \, x \, C^\top`, the whole batch takes two matrix products. Unlike ``grid_sample`` this low-passes
    where it shrinks, uses the cubic of PIL (:math:`a = -1/2`, not :math:`-3/4`), and sees no pixel outside the box.

    References:
        The scheme is that of Pillow's ``Image.resize`` on ``Image.crop``; the matrices are ours.
    """
    height, width = images.shape[-2:]
    # Both axes at once: the boxes end before what the shorter one lacks.
    start, length = torch.stack([boxes.top, boxes.left]), torch.stack([boxes.height, boxes.width])
    mirrored = torch.stack([torch.zeros_like(flip), flip])
    rows, columns = _weights(start, length, mirrored, source=max(height, width), size=size)
    # All channels side by side, so that the matrices need not be copied for each.
    narrowed = (images.flatten(1, 2) @ columns[..., :width].mT).unflatten(1, (-1, height)).clamp_(0, 1)
    return (rows[:, None, :, :height] @ narrowed).clamp_(0, 1)


def _weights(
    start: Float[Tensor, "axes b"],
    length: Float[Tensor, "axes b"],
    mirrored: Bool[Tensor, "axes b"],
    *,
    source: int,
    size: int,
) -> Float[Tensor, "axes b size source"]:
    """Return how much each source pixel adds to each target pixel along the axes."""
    start, length = start[..., None, None], length[..., None, None]
    target = torch.arange(size, device=start.device) + 0.5
    target = torch.where(mirrored[..., None], size - target, target)[..., None]
    pixel = torch.arange(source, device=start.device) + 0.5
    stretch = length / size
    distance = (pixel - start - target * stretch) / stretch.clamp(min=1)
    inside = (pixel > start) & (pixel < start + length)
    weights = torch.where(inside, _cubic(distance.abs()), 0)
    return weights / weights.sum(dim=-1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Return the Catmull-Rom kernel at distances ``x`` of at least zero."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
