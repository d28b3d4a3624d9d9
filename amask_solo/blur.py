"""A separable Gaussian blur."""

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import Images


def gaussian_blur(images: Images, sigmas: Float[Tensor, " b"], kernel: tuple[int, int], *, border: str) -> Images:
    """Blur each image with its own standard deviation.

    All color planes are channels of one grouped convolution, in single precision also under autocast, and nothing waits
    for the device.

    Args:
        images: Images in single precision.
        sigmas: A positive standard deviation for each image, in pixels.
        kernel: Height and width of the kernel in pixels, both odd.
        border: The padding, ``replicate`` or ``reflect``, as in :func:`torch.nn.functional.pad`.

    Example:
        >>> gaussian_blur(torch.ones(1, 3, 8, 8), torch.tensor([2.0]), (7, 7), border="reflect").mean().round()
        tensor(1.)
    """
    height, width = kernel
    # (b, length) -> (b * c, 1, length)
    down, across = (
        _weights(length, sigmas).repeat_interleave(images.shape[1], dim=0)[:, None] for length in (height, width)
    )
    margins = (width // 2, width // 2, height // 2, height // 2)
    planes = F.pad(images.flatten(0, 1)[None], margins, mode=border)  # (1, b * c, h, w)
    kind = images.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        planes = F.conv2d(planes, across[:, :, None], groups=len(across))
        return F.conv2d(planes, down[..., None], groups=len(down)).view_as(images)


def _weights(length: int, sigmas: Float[Tensor, " b"]) -> Float[Tensor, "b length"]:
    place = torch.arange(length, device=sigmas.device) - length // 2
    density = (-place.square() / (2 * sigmas[:, None].square())).exp()
    return density / density.sum(dim=1, keepdim=True)
