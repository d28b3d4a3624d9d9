"""Projections made of projections."""

import torch

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.base import Projection, Wrapper, times, wide


class Disjoint(Wrapper):
    """Hide only what earlier masks left visible, and meet the budget of the inner projection there.

    Args:
        inner: How the masks are made in the room that is left; without earlier masks, this alone.

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
        """Return what the inner projection makes of the room."""
        return self.inner.within(logits, room, generator=generator)


class Binary(Wrapper):
    r"""Hide each pixel or show it, and learn as if the masks were soft: the straight-through estimator.

    With the soft masks :math:`s` of the inner projection and what it decides on, :math:`h \in \{0, 1\}`, the masks are
    :math:`h` forwards, and their gradient is that of :math:`s`. A veil of soft masks hides less than its area says;
    these hide all of it. Of an area budget, those pixels are hidden that have the highest scores, exactly as many as
    the budget says; of a softmax, each pixel by the mask that has most of it; of a sigmoid, the pixels above one half.

    If there is not room for all of a pixel, because an earlier mask is soft, what is left of it is hidden.

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

    decide = Projection.decide  # what is decided already; a partly hidden pixel is one without more room

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks of zeros and ones, as far as there is room, with the gradient of soft ones."""
        soft = self.inner.within(logits, room, generator=generator)
        hard = times(self.inner.decide(soft.detach(), room), None if room is None else room.detach())
        # In this order: what is added to the zeros and ones is an exact zero.
        return hard + (soft - soft.detach())


class Standardized(Wrapper):
    """Give each mask's logits mean 0 and deviation 1 over the pixels, and project them then.

    A masker whose logits grow decides ever more sharply. Where a sigmoid is flat it learns nothing: its masks stay
    where they are while the encoder learns to do without what they hide. With standardized logits, how decided a mask
    is lies with the projection alone, and a pixel that is shown can still be tried. Ours.

    Args:
        inner: Makes the masks. Of :class:`AreaBudget`, a ``sharpness`` of 3 leaves masks of half a bit a pixel.

    Example:
        >>> import torch
        >>> from amask_solo.projections import AreaBudget
        >>> logits = torch.randn(1, 1, 8, 8)
        >>> project = Standardized(AreaBudget(0.25))
        >>> torch.allclose(project(logits), project(1000 * logits + 7), atol=1e-4)
        True
    """

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return what the inner projection makes of the standardized logits."""
        logits = wide(logits)
        centered = logits - logits.mean(dim=(-2, -1), keepdim=True)
        deviation = centered.square().mean(dim=(-2, -1), keepdim=True).clamp_min(1e-12).sqrt()
        return self.inner.within(centered / deviation, room, generator=generator)
