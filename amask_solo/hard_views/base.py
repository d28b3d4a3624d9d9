"""Views made harder from the objective: the seam for occlusion, adversarial pixels and CutMix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from amask_solo._types import BaseLoss
from amask_solo.game import WeightedViews


class HardView(ABC):
    """Turn weighted views into harder ones; the weights that come in go out."""

    @abstractmethod
    def __call__(self, entries: Sequence[WeightedViews], loss: BaseLoss) -> list[WeightedViews]:
        """Return harder entries.

        Args:
            entries: The entries of the game's sum.
            loss: The host's objective, quiet: it may be called and differentiated at will.
        """
