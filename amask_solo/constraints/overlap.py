"""A constraint on masks that hide the same pixels."""

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint


class Overlap(Constraint):
    r"""Penalize pixels that two masks hide.

    The mean of :math:`m_i m_j` over pixels and pairs of masks is 0 for disjoint masks, and for a single one; it is 1 if
    all masks hide everything. Ours.

    Example:
        >>> import torch
        >>> Overlap()(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.2500)
    """

    def forward(self, masks: Masks) -> Scalar:
        """Return the overlap, averaged over the batch."""
        masks = masks.float()
        pairs = max(1, masks.shape[1] * (masks.shape[1] - 1) / 2)
        # The square of a sum holds each pair twice, and each mask's own square once.
        products = (masks.sum(dim=1).square() - masks.square().sum(dim=1)) / 2
        return products.mean() / pairs
