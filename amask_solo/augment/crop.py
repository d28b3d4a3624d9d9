"""Crop, resize and flip as one step, antialiased as PIL does it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amask_solo._types import Images
from amask_solo.augment.sampling import Boxes, Draws

Crops = Float[Tensor, "b c _ _"]
"""Images of another height and width than those that they were cut from."""


def resized_crop(images: Images, boxes: Boxes, flip: Bool[Tensor, " b"], size: int) -> Crops:
    r"""Cut a box out of each image, resize it to ``size`` by ``size``, and mirror some.

    Bicubic resampling of a box is separable, so with one matrix for the rows and one for the
    columns of each image, :math:`y = R \, x \, C^\top`, the whole batch takes two matrix products.
    Against ``grid_sample`` this low-passes where it shrinks, uses the cubic of PIL
    (:math:`a = -1/2`, not :math:`-3/4`), and, as PIL, sees no pixel outside the box.

    Args:
        images: Images in [0, 1].
        boxes: One box an image, in pixels, inside the image.
        flip: Which images to mirror from left to right.
        size: Height and width of the result.

    Returns:
        Images of shape ``(B, C, size, size)`` in [0, 1].

    References:
        The scheme is that of Pillow's ``Image.resize`` on ``Image.crop``; the matrices are ours.
    """
    height, width = images.shape[-2:]
    rows = _weights(boxes.top, boxes.height, torch.zeros_like(flip), source=height, size=size)
    columns = _weights(boxes.left, boxes.width, flip, source=width, size=size)
    # The cubic overshoots at edges; PIL cuts that off after either axis, the columns first.
    narrowed = (images @ columns.mT).clamp(0, 1)
    return (rows @ narrowed).clamp(0, 1)


def _weights(
    start: Draws,
    length: Draws,
    mirrored: Bool[Tensor, " b"],
    *,
    source: int,
    size: int,
) -> Float[Tensor, "b 1 size source"]:
    """Return how much each source pixel adds to each target pixel along one axis."""
    start, length = start[:, None, None], length[:, None, None]
    target = torch.arange(size, device=start.device) + 0.5
    target = torch.where(mirrored[:, None], size - target, target)[..., None]
    pixel = torch.arange(source, device=start.device) + 0.5
    stretch = length / size
    distance = (pixel - start - target * stretch) / stretch.clamp(min=1)
    inside = (pixel > start) & (pixel < start + length)
    weights = torch.where(inside, _cubic(distance.abs()), 0)
    return (weights / weights.sum(dim=-1, keepdim=True))[:, None]


def _cubic(x: Tensor) -> Tensor:
    """Return the Catmull-Rom kernel at distances ``x`` of at least zero."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
