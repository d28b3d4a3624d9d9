"""The shapes and the mask polarity that every module shares.

A mask says what is **hidden**: 1 hides a pixel, 0 shows it, values between mix the image with its fill.
"""

from collections.abc import Callable, Sequence

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

Views = Sequence[Images]
"""The views of one batch, in the host's order: large crops first, then small ones."""

BaseLoss = Callable[[Views], Scalar]
"""All that a host ever shows the core: how hard its objective finds these views."""
