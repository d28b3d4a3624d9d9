"""Masks of whole patches, and masks drawn at random by their scores."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import Logits, Masks, OneMask
from amask_solo.projections.area import AreaBudget
from amask_solo.projections.base import Projection, Wrapper, wide
from amask_solo.projections.combined import Binary

Grid = Float[Tensor, "b n rows columns"]
"""One number for each patch."""


class Patches(Wrapper):
    """Hide whole patches: the inner projection sees one pixel for each patch, with the mean of the patch's scores.

    A budget of the inner projection then counts patches, so a binary mask has its area to half a patch. If the size of
    the image is not a multiple of ``patch_size``, the patches at the right and lower border are smaller.

    Args:
        inner: Makes the masks on the grid of the patches.
        patch_size: The side of a patch in pixels, at least 1.

    Raises:
        ValueError: If ``patch_size`` is below 1.

    Example:
        >>> scores = torch.zeros(1, 1, 4, 4)
        >>> scores[..., 0, 3] = 1
        >>> Patches(Binary(AreaBudget(0.25)), patch_size=2)(scores)[0, 0]
        tensor([[0., 0., 1., 1.],
                [0., 0., 1., 1.],
                [0., 0., 0., 0.],
                [0., 0., 0., 0.]])
    """

    def __init__(self, inner: Projection, *, patch_size: int = 16) -> None:
        if patch_size < 1:
            raise ValueError(f"Expected patch_size of 1 or more, but got {patch_size}.")
        super().__init__(inner)
        self.patch_size = patch_size

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that are constant on each patch; a patch has the room of its pixel with the least room."""
        grid, free = self._means(wide(logits)), None if room is None else self._least(room)
        masks = self.inner.within(grid, free, generator=generator)
        return self._pixels(masks, logits.shape[-2:])

    def decide(self, masks: Masks, room: OneMask | None) -> Masks:
        """Decide for each patch as the inner projection does."""
        decided = self.inner.decide(self._means(masks), None if room is None else self._least(room))
        return self._pixels(decided, masks.shape[-2:])

    def _means(self, scores: Logits) -> Grid:
        return F.avg_pool2d(scores, self.patch_size, ceil_mode=True, count_include_pad=False)

    def _least(self, room: OneMask) -> Grid:
        return -F.max_pool2d(-room, self.patch_size, ceil_mode=True)

    def _pixels(self, masks: Grid, size: torch.Size) -> Masks:
        return F.interpolate(masks, scale_factor=self.patch_size)[..., : size[0], : size[1]]


class GumbelTopK(Projection):
    r"""Hide an exact share of the pixels, drawn at random; pixels with high scores are hidden more often.

    With independent Gumbel noise :math:`g_i`, the :math:`k` highest of :math:`x_i + g_i` are a draw without
    replacement, in which each pixel has a probability proportional to :math:`e^{x_i}`. The masks are binary. Their
    gradient is that of soft masks of the same area, :math:`\sigma((x_i + g_i) / \tau + s)`; see :class:`AreaBudget` and
    :class:`Binary`.

    Args:
        area: The share of the pixels that is hidden, in (0, 1), a single number; within :class:`Patches`, the share of
            the patches.
        temperature: :math:`\tau` of the soft masks, above 0. A lower temperature makes them closer to binary, and gives
            fewer pixels a gradient.

    Raises:
        ValueError: If the area is no number in (0, 1), or the temperature is not positive.

    Example:
        >>> draw = GumbelTopK(0.5)
        >>> scores = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]]).expand(200, 1, 2, 2)
        >>> masks = draw(scores, generator=torch.Generator().manual_seed(0))
        >>> masks.sum(dim=(-2, -1)).unique()
        tensor([2.])
        >>> masks.mean(dim=(0, 1)) > 0.5
        tensor([[ True, False],
                [False, False]])

    References:
        The draw: Kool et al., `Stochastic Beams and Where to Find Them <https://arxiv.org/abs/1903.06059>`_, ICML 2019.
        On masks: Chen et al., `AutoMAE <https://arxiv.org/abs/2303.06583>`_, PRCV 2023, which adds further noise before
        it takes the highest and uses a softmax over the patches as soft masks; ours are different.
    """

    draws = True

    def __init__(self, area: float, *, temperature: float = 1.0) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(f"Expected temperature to be positive, but got {temperature}.")
        if isinstance(area, Sequence):
            raise ValueError(f"Expected area to be one number in (0, 1), since the share is exact, but got {area}.")
        self.drawn = Binary(AreaBudget(area, sharpness=1 / temperature))
        self.least = self.drawn.least

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return binary masks, of exactly the given area if there is room."""
        logits = wide(logits)
        uniform = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        # A drawn zero has the logarithm minus infinity, and its pixel rightly gets the lowest score.
        return self.drawn.within(logits - (-uniform.log()).log(), room)
