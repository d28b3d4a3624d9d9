"""The mask network of ADIOS, in whose layout its authors publish weights."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from amask_solo._types import Images, Logits

Norm = Literal["group", "instance", "none"]

HIDDEN = 128
"""Features of the layers between the two halves."""

WIDE = 3
"""The levels with twice the width: the lowest ones on the way down."""


class AdiosUNet(nn.Module):
    """Score each pixel by the U-Net of ADIOS, whose layers in the middle tie it to one size of image.

    Each level is a 3x3 convolution, followed by nearest-neighbor scaling by two; the lowest map passes three linear
    layers, and each level on the way up sees the map of its own size again. Images of another size are scaled to its
    own, and the scores back. :class:`~amask_solo.maskers.networks.UNet` is our own, for images of any size.

    Args:
        in_channels: Channels of what it looks at.
        out_channels: Number of score maps.
        width: Channels at the top; twice as many in the three lowest levels. A multiple of 8 with ``norm="group"``.
        depth: Levels; each but the last halves height and width. Theirs are 5 up to 127 px, and 6 for 224 px.
        image_size: Height and width of its images; a multiple of ``2 ** (depth - 1)``, with ``norm="instance"`` more
            than one, since a lowest map of one pixel has no deviation.
        norm: Group normalization by 8 groups, instance normalization, or none.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> AdiosUNet(3, 4, width=8, depth=4, image_size=16)(torch.zeros(2, 3, 20, 20)).shape
        torch.Size([2, 4, 20, 20])

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_, ICML 2022,
        and its code. Engelcke et al., `GENESIS-V2 <https://arxiv.org/abs/2104.09958>`_, 2021.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int, depth: int, image_size: int, norm: Norm = "group"
    ) -> None:
        super().__init__()
        side, left = divmod(image_size, 2 ** (depth - 1))
        if width < 1 or depth <= WIDE or side < 1 or left or norm not in _NORMS:
            raise ValueError(
                f"Expected a width of at least 1, a depth above {WIDE}, an image_size that is a multiple of "
                f"2^(depth - 1), and norm group, instance or none, but got {width}, {depth}, {image_size} and {norm}."
            )
        if norm == "instance" and side == 1:
            raise ValueError(
                f"norm=instance has nothing to normalize in the lowest map, of one pixel, of images of {image_size} px "
                f"at depth {depth}; take a smaller depth, or norm=group."
            )
        self.image_size, self.side = image_size, side
        below = [width] * (depth - WIDE) + [2 * width] * WIDE
        above = [2 * width] * 2 + [width] * (depth - 2)
        self.down = nn.ModuleList(_level(*channels, norm) for channels in pairwise([in_channels, *below]))
        # Each level up sees what comes from below and the map of the same size on the way down.
        seen = zip([below[-1], *above], reversed(below), strict=False)
        self.up = nn.ModuleList(_level(sum(both), out, norm) for both, out in zip(seen, above, strict=True))
        features = below[-1] * side**2
        sizes = pairwise([features, HIDDEN, HIDDEN, features])
        self.middle = nn.Sequential(*(layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())))
        self.score = nn.Conv2d(width, out_channels, 1)

    def forward(self, images: Images) -> Logits:
        """Return one map of scores for each output channel."""
        own = (self.image_size, self.image_size)
        size = images.shape[-2:]
        features = images if size == own else F.interpolate(images, own, mode="bilinear", antialias=True)
        skips: list[torch.Tensor] = []
        for level in self.down:
            # Every second pixel, as nearest-neighbor scaling takes them.
            features = level(features[..., ::2, ::2] if skips else features)
            skips.append(features)
        features = self.middle(features.flatten(1)).view_as(features)
        for level in self.up:
            skip = skips.pop()
            features = level(torch.cat([F.interpolate(features, skip.shape[-2:]), skip], dim=1))
        scores = self.score(features)
        return scores if size == own else F.interpolate(scores, size, mode="bilinear", align_corners=False)


def _level(in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=norm == "none")
    return nn.Sequential(convolution, *_NORMS[norm](out_channels), nn.ReLU(inplace=True))


_NORMS: Mapping[str, Callable[[int], list[nn.Module]]] = {
    "group": lambda channels: [nn.GroupNorm(8, channels)],
    "instance": lambda channels: [nn.InstanceNorm2d(channels, affine=True)],
    "none": lambda _: [],
}
