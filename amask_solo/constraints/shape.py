"""Constraints on what a mask looks like, whatever it hides."""

from amask_solo._types import Masks, Scalar
from amask_solo.constraints.base import Constraint


class Smoothness(Constraint):
    """Penalize edges: the total variation, per pixel so that it does not grow with the image.

    A mask costs between 0 and 2. It has two pixels or more in height and width.

    Example:
        >>> import torch
        >>> Smoothness()(torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(2, 3, 2, 2))
        tensor(3.)

    References:
        Rudin, Osher, Fatemi, `Nonlinear total variation based noise removal algorithms
        <https://doi.org/10.1016/0167-2789(92)90242-F>`_, 1992; the anisotropic form.
    """

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        from kornia.losses import total_variation  # not at the top: it would take most of the time of a refusal

        return total_variation(masks.float(), reduction="mean").sum(dim=1).mean()


class Binariness(Constraint):
    r"""Penalize undecided pixels: the mean of :math:`m (1 - m)`, which is 0 for binary masks. Ours.

    A mask costs between 0 and 1/4.

    Example:
        >>> import torch
        >>> Binariness()(torch.full((2, 3, 4, 4), 0.5))
        tensor(0.7500)
    """

    def forward(self, masks: Masks) -> Scalar:
        """Return the penalty, summed over masks and averaged over the batch."""
        masks = masks.float()
        return (masks * (1 - masks)).mean(dim=(-2, -1)).sum(dim=1).mean()
