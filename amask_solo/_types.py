"""The shapes and the mask polarity that every module shares.

A mask says what is **hidden**: 1 hides a pixel, 0 shows it, values between mix the image with its fill.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "b c h w"]
"""A batch of images; a *view* is one augmented, normalised batch."""

Masks = Float[Tensor, "b n h w"]
"""N masks an image, in [0, 1]; 1 = hidden."""

OneMask = Float[Tensor, "b 1 h w"]
"""One mask an image."""

Logits = Float[Tensor, "b n h w"]
"""Unbounded scores of N masks, before a projection turns them into masks; higher hides more."""

Scalar = Float[Tensor, ""]
"""One number with a gradient: a loss or a penalty."""

Views = Sequence[Float[Tensor, "b _ _ _"]]
"""The views of one batch, in the host's order: large crops first, then small ones. A masked one may carry its mask as a
fourth channel; see :func:`~amask_solo.occlusion.carry`."""

BaseLoss = Callable[[Views], Scalar]
"""All that a host ever shows the core: how hard its objective finds these views."""


class WeightedViews(NamedTuple):
    """One entry of the sum that is played: the views handed to the host, and how much its loss counts.

    Attributes:
        views: One batch each, in the host's order.
        weight: A number, or a scalar on the device of the views.
        side: The number of the view that is made harder; the host matches the others with it.
    """

    views: tuple[Images, ...]
    weight: float | Scalar
    side: int

    def harder(self, view: Images, *, share: float | Scalar = 1.0) -> "WeightedViews":
        """Return the entry with another view in the place of the hard one, and a share of the weight."""
        views = (*self.views[: self.side], view, *self.views[self.side + 1 :])
        return WeightedViews(views, self.weight * share, self.side)
