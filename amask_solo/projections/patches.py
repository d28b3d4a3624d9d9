"""Masks of whole patches, and which of them by chance."""

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
    """Hide whole patches: each has the mean of its scores, and the inner projection sees one pixel for each.

    A budget of the inner projection is then one of patches. At the right and lower border of an image that is no
    multiple of ``patch_size``, patches are smaller.

    Args:
        inner: Makes the masks on the grid of the patches.
        patch_size: Their side in pixels.

    Raises:
        ValueError: If the patches are smaller than a pixel.

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
        """Return masks that are constant on each patch; a patch has as much room as its fullest pixel."""
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
    r"""Hide an exact share of the pixels, drawn at random: those of high scores more often, none for sure.

    With independent Gumbel noise :math:`g_i`, the :math:`k` highest of :math:`x_i + g_i` are drawn one after another
    without replacement, each with a probability proportional to :math:`e^{x_i}`. The masks are binary; their gradient
    is that of soft masks of the same area, :math:`\sigma((x_i + g_i) / \tau + s)`: see :class:`AreaBudget` and
    :class:`Binary`.

    Args:
        area: The share of the pixels that is hidden, in (0, 1); within :class:`Patches`, of the patches.
        temperature: :math:`\tau` of the soft masks, above 0. The lower, the closer to binary masks they are, and the
            fewer pixels get a gradient.

    Raises:
        ValueError: If the area is not in (0, 1), or the temperature is not positive.

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
        it takes the highest. The soft masks are ours; there, a softmax over the patches.
    """

    def __init__(self, area: float, *, temperature: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f"Expected temperature to be positive, but got {temperature}.")
        self.drawn = Binary(AreaBudget(area, sharpness=1 / temperature))
        self.least = self.drawn.least

    def within(self, logits: Logits, room: OneMask | None, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks of zeros and ones, of exactly the area if there is room."""
        logits = wide(logits)
        uniform = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
        # Of a zero, which may be drawn, the logarithm is minus infinity, and the score the lowest there is.
        return self.drawn.within(logits - (-uniform.log()).log(), room)
