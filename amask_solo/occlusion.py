"""Apply masks to images; nothing else in this package does."""

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Images, Masks, OneMask

COLORS = 3
Carrier = Float[Tensor, "b colors_or_more h w"]
"""A view that may carry its mask as one more channel."""


def occlude(images: Images, mask: Masks, content: Images, *, channelwise: bool = False) -> Images:
    r"""Replace the hidden part of each image by other content: :math:`(1 - m) \, x + m \, c`.

    The mask :math:`m` is in [0, 1], one for each image, and 1 hides a pixel. A mask of zeros returns the images
    :math:`x` bit for bit. If they are ``channelwise``, there is one mask for each channel of an image instead.

    Raises:
        ValueError: If there is not exactly one mask for each image, or for each of its channels.

    Example:
        >>> occlude(torch.ones(1, 3, 2, 2), torch.full((1, 1, 2, 2), 0.25), torch.zeros(1, 3, 2, 2)).mean()
        tensor(0.7500)
    """
    if channelwise and mask.shape[1] != images.shape[1]:
        raise ValueError(f"Expected a mask for each of {images.shape[1]} channels, but got {mask.shape[1]}.")
    if not channelwise and mask.shape[1] != 1:
        raise ValueError(f"Expected one mask an image, but got {mask.shape[1]}; pass them one by one.")
    return torch.lerp(images, content.to(images.dtype), mask.to(images.dtype))


def carry(images: Images, mask: OneMask) -> Carrier:
    """Return a view with its mask as a fourth channel, for a network that leaves out hidden patches.

    The mask and its gradient then follow the view through everything that a host does with its views.
    """
    return torch.cat([images, mask.to(images.dtype)], dim=1)


def pixels(view: Carrier) -> Images:
    """Return a view without its mask; a view that carries none is returned itself.

    Example:
        >>> view, mask = torch.rand(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)
        >>> torch.equal(pixels(carry(view, mask)), view), pixels(view) is view
        (True, True)
    """
    return view if view.shape[1] == COLORS else view[:, :COLORS]


def carried(view: Carrier) -> OneMask | None:
    """Return the mask that a view carries, or ``None``."""
    return None if view.shape[1] == COLORS else view[:, COLORS:]
