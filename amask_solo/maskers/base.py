"""The masker: proposes which parts of a view to hide."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amask_solo._types import Images, Masks, OneMask


class Masker(nn.Module, ABC):
    """Propose masks for a batch of images.

    A masker without parameters (random, saliency) is a masker all the same: there is nothing to train.

    Attributes:
        num_masks: How many masks it proposes for each image.
        channelwise: Whether these are the masks of the image's channels, which are shown together.
        anywhere: Whether it has masks of any images, not only of those that it is trained with.
    """

    num_masks: int
    channelwise = False
    anywhere = True

    @abstractmethod
    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Propose masks.

        Args:
            images: A view, normalized, of any height and width.
            generator: Source of randomness, on the device of ``images``.

        Returns:
            Masks of shape ``(B, num_masks, H, W)`` in [0, 1], in the dtype of the images; 1 hides.
        """

    def draw_one(self, images: Images, *, generator: torch.Generator | None = None) -> OneMask:
        """Propose one of the masks of each image, ``(B, 1, H, W)``; a masker need not make the others."""
        return draw_one(self(images, generator=generator), generator=generator)


def masks_anything(masker: nn.Module) -> bool:
    """Return whether a masker, with all that it is made of, has masks of any images."""
    return all(part.anywhere for part in masker.modules() if isinstance(part, Masker))


def draw_one(masks: Masks, *, generator: torch.Generator | None = None) -> OneMask:
    """Return one of the masks of each image."""
    drawn = torch.randint(masks.shape[1], (len(masks),), generator=generator, device=masks.device)
    return masks[torch.arange(len(masks), device=masks.device), drawn].unsqueeze(1)


def highest(scores: Float[Tensor, "*rows n"], count: Float[Tensor, "*rows 1"] | int) -> Bool[Tensor, "*rows n"]:
    """Return where the ``count`` highest scores of each row are; the first ones of equals.

    Example:
        >>> highest(torch.tensor([[0.1, 0.4, 0.2, 0.3]]), 2)
        tensor([[False,  True, False,  True]])
    """
    order = scores.argsort(dim=-1, descending=True, stable=True)
    chosen = (torch.arange(scores.shape[-1], device=scores.device) < count).expand_as(order)
    return torch.zeros_like(chosen).scatter(-1, order, chosen)
