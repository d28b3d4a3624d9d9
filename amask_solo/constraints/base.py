"""What the adversary pays for its masks, and constraints made of constraints."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from amask_solo._types import Masks, Scalar
from amask_solo.errors import unknown_key


class Constraint(nn.Module, ABC):
    """A penalty on masks that the masker minimises while it maximises the loss.

    A constraint may have parameters: the masker's optimizer moves them as well, down the gradient of the penalty.

    Attributes:
        free: Whether it asks nothing of any mask.
        num_masks: How many masks it is for; ``None`` for any number.
        one_view: Whether the masks that it compares with one another must be those of one view.
        fewest: With fewer masks than these it asks nothing: 2 if it compares them with one another.
    """

    free = False
    one_view = False
    num_masks: int | None = None
    fewest = 1

    @abstractmethod
    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty: summed over the N masks of an image, averaged over the batch.

        Args:
            masks: All masks that were proposed, of shape ``(B, N, H, W)`` in [0, 1].
        """

    def check(self, masks: int, *, views: int = 1) -> None:
        """Raise a ``ValueError`` if it, or a part of it, is for another number of masks, or for those of one view.

        Args:
            masks: How many masks there are of one view.
            views: How many views are masked.
        """
        for part in self.modules():
            if views > 1 and getattr(part, "one_view", False):
                raise ValueError(
                    f"{type(part).__name__} compares the masks of one view, and pairs mask both; leave one of them out."
                )
            if getattr(part, "fewest", 1) > masks * views:
                raise ValueError(
                    f"{type(part).__name__} compares masks with one another, but sees a single one; leave it out, or "
                    "set the masker's num_masks to 2 or more."
                )
            if getattr(part, "num_masks", None) not in (None, masks * views):
                raise ValueError(
                    f"constraint: expected {part.num_masks} masks, one for each constraint, but the masker makes "
                    f"{masks}{' of each of two views' if views > 1 else ''}; set its num_masks to match."
                )


class WeightedSum(Constraint):
    """Add constraints up, each with a weight. The sum of none asks nothing of the adversary.

    Args:
        terms: Constraints by name.
        weights: How much each counts, by the same names, at least 0; 1 for names that are missing.

    Raises:
        ValueError: If a weight names no term, or is negative or not finite, or a module keeps the name of a term for
            itself.

    Example:
        >>> from amask_solo.constraints import Binariness, InverseSine
        >>> both = WeightedSum({"area": InverseSine(), "binary": Binariness()}, {"binary": 4.0})
        >>> both(torch.full((2, 1, 4, 4), 0.5)).round()
        tensor(2.)
        >>> WeightedSum()(torch.full((2, 1, 4, 4), 0.5))
        tensor(0.)
    """

    def __init__(
        self, terms: Mapping[str, Constraint] | None = None, weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        try:
            self.terms = nn.ModuleDict(dict(terms or {}))
        except KeyError as error:  # of what a ModuleDict itself has, such as "type"
            raise ValueError(f"A term of a sum cannot have this name: {error.args[0]}.") from error
        for name, weight in (weights or {}).items():
            if name not in self.terms:
                raise ValueError(str(unknown_key(name, self.terms, "the weights of a sum")))
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"Expected the weight of '{name}' to be 0 or more, but got {weight}.")
        self.weights = {name: (weights or {}).get(name, 1.0) for name in self.terms}
        self.free = not any(self.weights.values())

    def forward(self, masks: Masks) -> Scalar:
        """Return the weighted sum of the penalties, in float32."""
        total = torch.zeros((), device=masks.device)
        for name, term in self.terms.items():
            if self.weights[name]:
                total = total + self.weights[name] * term(masks)
        return total


class PerMask(Constraint):
    """Give each mask a constraint of its own: the n-th constraint sees only the n-th mask.

    Args:
        constraints: One for each mask, in the order of the masks.

    Raises:
        ValueError: If there is none, or one compares masks with one another; or, when called, if their number is not
            that of the masks, which the game checks.

    Example:
        >>> from amask_solo.constraints import AreaTarget
        >>> steps = PerMask([AreaTarget(0.5), AreaTarget(0.25)])
        >>> steps(torch.full((2, 2, 4, 4), 0.5))
        tensor(0.0625)
    """

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        super().__init__()
        if not constraints:
            raise ValueError("Expected one constraint for each mask, but got none.")
        for constraint in constraints:
            constraint.check(1)
        self.constraints = nn.ModuleList(constraints)
        self.num_masks = len(constraints)

    def forward(self, masks: Masks) -> Scalar:
        """Return the sum of the penalties."""
        pairs = zip(self.constraints, masks.split(1, dim=1), strict=True)
        return torch.stack([constraint(mask) for constraint, mask in pairs]).sum()
