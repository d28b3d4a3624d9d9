"""The shapes and the mask polarity that every module shares.

A mask says what is **hidden**: 1 hides a pixel, 0 shows it, and values in between mix the image with its fill.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "b c h w"]
"""A batch of images; a *view* is one augmented, normalized batch."""

Masks = Float[Tensor, "b n h w"]
"""N masks for each image, in [0, 1]; 1 = hidden."""

OneMask = Float[Tensor, "b 1 h w"]
"""One mask for each image."""

Logits = Float[Tensor, "b n h w"]
"""Unbounded scores of N masks, before a projection turns them into masks; higher hides more."""

Scalar = Float[Tensor, ""]
"""One number with a gradient: a loss or a penalty."""

Views = Sequence[Float[Tensor, "b _ _ _"]]
"""The views of one batch, in the host's order: large crops, then small ones. A masked view may carry its mask as a
fourth channel; see :func:`~amask_solo.occlusion.carry`."""

BaseLoss = Callable[[Views], Scalar]
"""The host's objective as a function of the views. The game sees nothing else of the host."""


class WeightedViews(NamedTuple):
    """One term of the game's sum: the views that the host gets, and the weight of its loss on them.

    Attributes:
        views: A batch of each view, in the host's order.
        weight: A number, or a scalar on the device of the views.
        side: The index of the view that is made harder; the host matches the other views with it.
    """

    views: tuple[Images, ...]
    weight: float | Scalar
    side: int

    def harder(self, view: Images, *, share: float | Scalar = 1.0) -> "WeightedViews":
        """Return the entry with another hard view and a share of the weight."""
        views = (*self.views[: self.side], view, *self.views[self.side + 1 :])
        return WeightedViews(views, self.weight * share, self.side)
