"""The object is everywhere: the control."""

import torch

from amask_solo._types import Images
from amask_solo.localisers.base import Localiser, Maps


class Everywhere(Localiser):
    """Call the whole image foreground: masks made so are random, and equal to the others in all else. Ours."""

    def forward(self, images: Images) -> Maps:
        """Return a map of ones."""
        return torch.ones(len(images), 1, 1, 1, device=images.device)
