"""What hidden pixels show."""

from abc import ABC, abstractmethod

import torch
from torch import nn

from amask_solo._types import Images


class Fill(nn.Module, ABC):
    """Make the content that shows where an image is hidden. A fill has no parameters."""

    @abstractmethod
    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Images:
        """Return content of the shape and dtype of ``images``.

        Args:
            images: A view, normalized: 0 is the channel mean of the data set.
            generator: Source of randomness, on the device of ``images``.
        """
