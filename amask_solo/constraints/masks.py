"""Constraints on what masks look like, whatever they hide: how large, how smooth, how decided, how disjoint."""

import math

import torch

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint


class InverseSine(Constraint):
    r"""Penalize masks that hide almost nothing or almost everything.

    With :math:`a_{bn}` the mean of mask :math:`n` of image :math:`b`,

    .. math:: \frac{1}{B} \sum_{b=1}^{B} \sum_{n=1}^{N} \frac{1}{\sin(\pi a_{bn}) + \epsilon},

    which is lowest at :math:`a = 1/2` and steep towards 0 and 1.

    Args:
        eps: Added to the sine, above 0; the penalty of an empty or full mask is ``1 / eps``. The code of ADIOS adds
            1e-10, whose gradient at an empty mask, ``pi / eps**2``, is beyond any optimizer.

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
        if not 0 < eps < math.inf:
            raise ValueError(f"Expected eps to be positive, but got {eps}.")
        self.eps = eps

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        area = masks.float().mean(dim=(-2, -1))
        # sin(pi * 1.0) is negative in float32, which would reward full masks; fold the area at 1/2.
        folded = torch.minimum(area, 1 - area)
        return (torch.sin(torch.pi * folded) + self.eps).reciprocal().sum(dim=1).mean()


class AreaEntropy(Constraint):
    r"""Penalize areas :math:`a_n` that are alike: the entropy of :math:`\mathrm{softmax}_n(a_n)`.

    It is highest, :math:`\log N`, for equal areas, and not much lower for any others, since areas are in [0, 1].

    Example:
        >>> AreaEntropy()(torch.full((2, 4, 4, 4), 0.25))
        tensor(1.3863)

    References:
        The code of Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_,
        ICML 2022, in two scripts; there it is summed over the batch.
    """

    fewest = 2

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, averaged over the batch."""
        areas = masks.float().mean(dim=(-2, -1))
        return torch.special.entr(areas.softmax(dim=1)).sum(dim=1).mean()


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


class Smoothness(Constraint):
    """Penalize edges: the total variation, per pixel so that it does not grow with the image.

    A mask, of two pixels or more in height and width, costs between 0 and 2.

    Example:
        >>> Smoothness()(torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(2, 3, 2, 2))
        tensor(3.)

    References:
        Rudin, Osher, Fatemi, `Nonlinear total variation based noise removal algorithms
        <https://doi.org/10.1016/0167-2789(92)90242-F>`_, 1992; the anisotropic form.
    """

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        from kornia.losses import total_variation  # not at the top: it would be most of the time that a refusal takes

        return total_variation(masks.float(), reduction="mean").sum(dim=1).mean()


class Binariness(Constraint):
    r"""Penalize undecided pixels: the mean of :math:`m (1 - m)`, between 0 for a binary mask and 1/4. Ours.

    Example:
        >>> Binariness()(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.7500)
    """

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        masks = masks.float()
        return (masks * (1 - masks)).mean(dim=(-2, -1)).sum(dim=1).mean()


class Overlap(Constraint):
    r"""Penalize pixels that two masks hide.

    The mean of :math:`m_i m_j` over pixels and pairs of masks is 0 for disjoint masks, and 1 if all of them hide
    everything. Ours.

    Example:
        >>> Overlap()(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.2500)
    """

    one_view = True
    fewest = 2

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, averaged over the batch."""
        masks = masks.float()
        pairs = max(1, masks.shape[1] * (masks.shape[1] - 1) / 2)
        # The square of a sum holds each pair twice, and each mask's own square once.
        products = (masks.sum(dim=1).square() - masks.square().sum(dim=1)) / 2
        return products.mean() / pairs
