"""Networks that score pixels: the higher the score, the sooner the masker hides them.

A masker can use any module that is built by ``network(in_channels=..., out_channels=...)`` and keeps height and width.
The host finds its own network in a checkpoint by name, so no parameter here may be called a backbone or an encoder.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from amask_solo._types import Images, Logits

_START = 0.1
"""Spread of the first scores' weights: masks differ from the start, and none takes everything."""

SmallImages = Float[Tensor, "b c small_h small_w"]
SmallLogits = Float[Tensor, "b n small_h small_w"]
"""What the network sees and returns, at a share of the height and width of the images."""

Norm = Literal["group", "instance"]
NetworkFactory = Callable[..., nn.Module]
"""Builds, from ``in_channels`` and ``out_channels``, a network that keeps height and width."""


class UNet(nn.Module):
    """Score each pixel by a small U-Net; images may have any size, down to one pixel.

    Unlike the mask network of ADIOS it is fully convolutional: nothing ties it to one size of image. Strided
    convolutions go down, nearest-neighbor upsampling goes up, and skip connections are added, at half the cost of
    concatenating them.

    Args:
        in_channels: Channels of what it looks at.
        out_channels: Number of score maps.
        width: Channels at the top, at least 1; they double with each level, up to four times this.
        depth: Levels below the top, at least 1; each halves height and width.
        norm: ``"group"``: channels are normalized in groups of eight; ``"instance"``: each by itself, but for maps of
            one pixel, which have no deviation.

    Raises:
        ValueError: If the width or the depth is not positive, or the norm unknown.

    Example:
        >>> UNet(3, 4)(torch.zeros(2, 3, 33, 47)).shape
        torch.Size([2, 4, 33, 47])

    References:
        Ronneberger et al., `U-Net <https://arxiv.org/abs/1505.04597>`_, MICCAI 2015.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int = 16, depth: int = 3, norm: Norm = "group"
    ) -> None:
        super().__init__()
        if norm not in ("group", "instance"):
            raise ValueError(f"Expected norm 'group' or 'instance', but got {norm!r}.")
        if width < 1 or depth < 1:
            raise ValueError(f"Expected width and depth of 1 or more, but got {width} and {depth}.")
        widths = [width * min(2**level, 4) for level in range(depth + 1)]
        convolution = partial(_convolution, norm=norm)
        self.top = convolution(in_channels, width)
        self.down = nn.ModuleList(convolution(above, below, stride=2) for above, below in pairwise(widths))
        self.lift = nn.ModuleList(nn.Conv2d(below, above, 1) for above, below in pairwise(widths))
        self.up = nn.ModuleList(convolution(above, above) for above in widths[:-1])
        self.score = _score(width, out_channels)

    def forward(self, images: Images) -> Logits:
        """Return one map of scores for each output channel."""
        features = self.top(images.contiguous(memory_format=torch.channels_last))
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for lift, up in zip(reversed(self.lift), reversed(self.up), strict=True):
            skip = skips.pop()
            features = up(skip + F.interpolate(lift(features), size=skip.shape[-2:]))
        return self.score(features)


class PatchHead(nn.Module):
    """Give all pixels of a patch one score, so that masks follow the grid of a transformer.

    Patches are embedded by one convolution, get their position from a depthwise convolution over the grid, and see each
    other in a few transformer layers. Use it with ``resolution=1``: in a shrunk image, patches are larger.

    Args:
        in_channels: Channels of what it looks at.
        out_channels: Number of score maps.
        patch_size: Side of a patch in pixels, at least 1, as in the backbone. Patches that the image does not fill are
            padded.
        width: Channels of a patch; a multiple of 32, the width of one attention head.
        depth: Number of transformer layers, at least 1.

    Raises:
        ValueError: If a size is not positive, or the width no multiple of 32.

    Example:
        >>> PatchHead(3, 4, patch_size=8)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 4, 32, 32])

    References:
        Position by a convolution: Chu et al., `Conditional Positional Encodings for Vision
        Transformers <https://arxiv.org/abs/2102.10882>`_, ICLR 2023. The whole is ours.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, patch_size: int = 16, width: int = 64, depth: int = 2
    ) -> None:
        super().__init__()
        if patch_size < 1 or depth < 1 or width < 1 or width % 32:
            raise ValueError(
                "Expected a positive patch_size and depth and a width that is a multiple of 32, "
                f"but got {patch_size}, {depth} and {width}."
            )
        self.patch_size = patch_size
        self.embed = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, width // 32, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.score = _score(width, out_channels)

    def forward(self, images: Images) -> Logits:
        """Return one map of scores for each output channel, constant on each patch."""
        height, width = images.shape[-2:]
        side = self.patch_size
        grid = self.embed(F.pad(images, (0, -width % side, 0, -height % side)))
        grid = grid + self.position(grid)
        tokens = grid.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h w, C)
        for layer in self.layers:
            tokens = layer(tokens)
        scores = self.score(tokens.transpose(1, 2).unflatten(2, grid.shape[-2:]))
        return F.interpolate(scores, scale_factor=side)[..., :height, :width]


def shrink(images: Images, resolution: float) -> SmallImages:
    """Return the images at a share of their size; a pixel is the mean of those it replaces."""
    if resolution == 1:
        return images
    height, width = (max(1, round(side * resolution)) for side in images.shape[-2:])
    return F.interpolate(images, size=(height, width), mode="area")


def enlarge(logits: SmallLogits, size: tuple[int, int] | torch.Size) -> Logits:
    """Return the logits at full size, where a budget has to hold."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits.float(), size=tuple(size), mode="bilinear", align_corners=False)


def check_resolution(resolution: float) -> float:
    """Return a resolution that is in (0, 1], and refuse any other."""
    if not 0 < resolution <= 1:
        raise ValueError(f"Expected resolution in (0, 1], but got {resolution}; 0.5 halves height and width.")
    return resolution


class _InstanceNorm(nn.GroupNorm):
    """Normalize each channel by itself, but scale and shift only where a single pixel has no deviation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[-2:].numel() > 1:
            return super().forward(features)
        return features * self.weight[:, None, None] + self.bias[:, None, None]


def _convolution(in_channels: int, out_channels: int, *, norm: Norm, stride: int = 1) -> nn.Sequential:
    # Groups of eight channels or fewer: a single channel has no variance on a map of one pixel.
    groups = max(1, out_channels // 8) if out_channels % 8 == 0 else 1
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        _InstanceNorm(out_channels) if norm == "instance" else nn.GroupNorm(groups, out_channels),
        nn.ReLU(inplace=True),
    )


def _score(in_channels: int, out_channels: int) -> nn.Module:
    layer = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.normal_(layer.weight, std=_START)
    nn.init.zeros_(layer.get_parameter("bias"))
    return layer
