"""Constraints on how much of an image a mask hides."""

import torch

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint


class InverseSine(Constraint):
    r"""Penalize masks that hide almost nothing or almost everything.

    With :math:`a_{bn}` the mean of mask :math:`n` of image :math:`b`,

    .. math:: \frac{1}{B} \sum_{b=1}^{B} \sum_{n=1}^{N} \frac{1}{\sin(\pi a_{bn}) + \epsilon},

    which is lowest at :math:`a = 1/2` and steep towards 0 and 1.

    Args:
        eps: Added to the sine; the penalty of an empty or full mask is ``1 / eps``. The code of ADIOS adds 1e-10, whose
            gradient at an empty mask, ``pi / eps**2``, is beyond any optimizer.

    Raises:
        ValueError: If ``eps`` is not positive.

    Example:
        >>> InverseSine()(torch.full((2, 3, 4, 4), 0.5)).round()
        tensor(3.)

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_, ICML 2022.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"Expected eps to be positive, but got {eps}.")
        self.eps = eps

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        area = masks.float().mean(dim=(-2, -1))
        # sin(pi * 1.0) is negative in float32, which would reward full masks; fold the area at 1/2.
        folded = torch.minimum(area, 1 - area)
        return (torch.sin(torch.pi * folded) + self.eps).reciprocal().sum(dim=1).mean()


class AreaTarget(Constraint):
    r"""Penalize the squared distance of each mask's area from a wish, :math:`\sum_n (a_n - a^*)^2`.

    Ours; the soft form of an area budget.

    Args:
        area: The share of the image that a mask should hide, in (0, 1).

    Raises:
        ValueError: If the area is not in (0, 1).

    Example:
        >>> AreaTarget(0.25)(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.1875)
    """

    def __init__(self, area: float) -> None:
        super().__init__()
        if not 0 < area < 1:
            raise ValueError(f"Expected area in (0, 1), but got {area}; a quarter is 0.25.")
        self.area = area

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        return (masks.float().mean(dim=(-2, -1)) - self.area).square().sum(dim=1).mean()
