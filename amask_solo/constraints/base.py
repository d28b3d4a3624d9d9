"""What the adversary pays for its masks."""

from abc import ABC, abstractmethod

from torch import nn

from amask_solo._types import Masks, Scalar


class Constraint(nn.Module, ABC):
    """A penalty on masks that the masker minimises while it maximises the loss.

    A constraint may have parameters: the masker's optimizer moves them as well, down the gradient of the penalty.

    Attributes:
        free: Whether it asks nothing of any mask.
        num_masks: How many masks it is for; ``None`` for any number.
    """

    free = False
    num_masks: int | None = None

    @abstractmethod
    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty: summed over the N masks of an image, averaged over the batch.

        Args:
            masks: All masks that were proposed, of shape ``(B, N, H, W)`` in [0, 1].
        """
