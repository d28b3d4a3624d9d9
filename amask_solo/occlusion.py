"""The only place where masks and pixels meet."""

import torch

from amask_solo._types import Images, Masks


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
