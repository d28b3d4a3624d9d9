"""The only place where masks and pixels meet."""

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Images, Masks, OneMask

COLORS = 3
Carrier = Float[Tensor, "b colors_or_more h w"]
"""A view, perhaps with its mask as one more channel."""


def occlude(images: Images, mask: Masks, content: Images) -> Images:
    r"""Replace what a mask hides by other content: :math:`(1 - m) \, x + m \, c`.

    Args:
        images: The images to hide parts of.
        mask: One mask an image, of shape ``(B, 1, H, W)`` in [0, 1]; 1 hides a pixel.
        content: What shows where the mask hides.

    Returns:
        The occluded images. A mask of zeros gives back ``images`` to the bit.

    Raises:
        ValueError: If there is not exactly one mask an image.

    Example:
        >>> occlude(torch.ones(1, 3, 2, 2), torch.full((1, 1, 2, 2), 0.25), torch.zeros(1, 3, 2, 2)).mean()
        tensor(0.7500)
    """
    if mask.shape[1] != 1:
        raise ValueError(f"Expected one mask an image, but got {mask.shape[1]}; pass them one by one.")
    return torch.lerp(images, content.to(images.dtype), mask.to(images.dtype))


def carry(images: Images, mask: OneMask) -> Carrier:
    """Return a view with its mask as a fourth channel, for a network that leaves out what is hidden.

    So the mask, with its gradient, goes wherever the view goes, through whatever a host does with its views.
    """
    return torch.cat([images, mask.to(images.dtype)], dim=1)


def pixels(view: Carrier) -> Images:
    """Return a view without the mask that it may carry; one that carries none is returned itself.

    Example:
        >>> view, mask = torch.rand(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)
        >>> torch.equal(pixels(carry(view, mask)), view), pixels(view) is view
        (True, True)
    """
    return view if view.shape[1] == COLORS else view[:, :COLORS]


def carried(view: Carrier) -> OneMask | None:
    """Return the mask that a view carries, if it does."""
    return None if view.shape[1] == COLORS else view[:, COLORS:]
