"""Projections that wrap other projections."""

import torch

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.base import Projection, Wrapper, times, wide


class Disjoint(Wrapper):
    """Hide only what earlier masks left visible, and keep the budget of the inner projection.

    Args:
        inner: Makes the masks within the room that is left; without earlier masks, there is room everywhere.

    Example:
        >>> from amask_solo.projections import AreaBudget
        >>> hidden = torch.zeros(1, 1, 4, 4)
        >>> hidden[..., :2, :] = 1
        >>> mask = Disjoint(AreaBudget(0.25))(torch.zeros(1, 1, 4, 4), hidden)
        >>> mask[0, 0, :, 0], mask.mean()
        (tensor([0.0000, 0.0000, 0.5000, 0.5000]), tensor(0.2500))
    """

    def __init__(self, inner: Projection) -> None:
        super().__init__(inner)
        self.disjoint = True

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks of the inner projection within the room."""
        return self.inner.within(logits, room, generator=generator)


class Binary(Wrapper):
    r"""Make binary masks with the gradient of soft ones: the straight-through estimator.

    The inner projection makes soft masks :math:`s` and decides on binary ones, :math:`h \in \{0, 1\}`. The forward pass
    returns :math:`h`, and the gradient is that of :math:`s`. A soft mask may only veil its area; a binary one hides it.
    With an area budget, the pixels with the highest scores are hidden, exactly as many as the budget says; with a
    softmax, each pixel belongs to the mask with the largest share; with a sigmoid, pixels above one half are hidden.

    If an earlier soft mask leaves room for a part of a pixel, this part is hidden.

    Args:
        inner: Makes the soft masks.

    Example:
        >>> from amask_solo.projections import AreaBudget
        >>> logits = torch.tensor([[[[0.1, 0.4], [0.3, 0.2]]]], requires_grad=True)
        >>> mask = Binary(AreaBudget(0.25))(logits)
        >>> mask.flatten().tolist()
        [0.0, 1.0, 0.0, 0.0]
        >>> mask[0, 0, 0, 0].backward()
        >>> bool((logits.grad != 0).all())
        True

    References:
        Bengio et al., `Estimating or Propagating Gradients Through Stochastic Neurons
        <https://arxiv.org/abs/1308.3432>`_, 2013. On masks under a budget: ours.
    """

    decide = Projection.decide  # the masks are binary already, and a partly hidden pixel has no more room

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return binary masks within the room, with the gradient of soft masks."""
        soft = self.inner.within(logits, room, generator=generator)
        hard = times(self.inner.decide(soft.detach(), room), None if room is None else room.detach())
        # The parentheses matter: the difference is an exact zero.
        return hard + (soft - soft.detach())


class Standardized(Wrapper):
    """Standardize each mask's logits to mean 0 and deviation 1 over the pixels, then apply the inner projection.

    Growing logits make masks ever more binary. A masker learns nothing where the sigmoid is flat, so its masks freeze
    while the encoder learns to do without the hidden part. With standardized logits, only the projection decides how
    binary the masks are, and a shown pixel can still become hidden. Ours.

    Args:
        inner: Makes the masks. An :class:`AreaBudget` with ``sharpness`` 3 makes masks with half a bit per pixel.

    Example:
        >>> import torch
        >>> from amask_solo.projections import AreaBudget
        >>> logits = torch.randn(1, 1, 8, 8)
        >>> project = Standardized(AreaBudget(0.25))
        >>> torch.allclose(project(logits), project(1000 * logits + 7), atol=1e-4)
        True
    """

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks of the inner projection for the standardized logits."""
        logits = wide(logits)
        centered = logits - logits.mean(dim=(-2, -1), keepdim=True)
        deviation = centered.square().mean(dim=(-2, -1), keepdim=True).clamp_min(1e-12).sqrt()
        return self.inner.within(centered / deviation, room, generator=generator)
