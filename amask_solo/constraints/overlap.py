"""A constraint on masks that hide the same pixels."""

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint


def overlap(masks: Masks) -> Scalar:
    r"""Penalize pixels that two masks hide.

    The mean of :math:`m_i m_j` over pixels and pairs of masks is 0 for disjoint masks and 1 if all
    of them hide everything. Ours.

    Args:
        masks: Soft masks in [0, 1]; of one mask, the overlap is 0.

    Returns:
        The overlap, averaged over the batch.

    Example:
        >>> import torch
        >>> overlap(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.2500)
    """
    masks = masks.float()
    pairs = max(1, masks.shape[1] * (masks.shape[1] - 1) / 2)
    # The square of a sum holds each pair twice, and each mask's own square once.
    products = (masks.sum(dim=1).square() - masks.square().sum(dim=1)) / 2
    return products.mean() / pairs


class Overlap(Constraint):
    """Penalize pixels that two masks hide; see :func:`overlap`."""

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty of a batch of masks."""
        return overlap(masks)
