"""Masks that know where the object is, and hide the same share of it as of the rest."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from amask_solo._types import Images, Masks
from amask_solo.localisers.base import Cells, Localiser, foreground
from amask_solo.maskers.base import Masker


class SaliencyMasker(Masker):
    """Hide random patches of a grid: the same share of foreground and background. It has nothing to train.

    Plain random patches may hide all of a small object, or none of it. Here the share of both is the same, see
    :func:`proportionate`, and drawn anew for each image.

    Args:
        localiser: Says where the object is.
        ratio: The lowest and the highest share that is hidden, in (0, 1).
        grid: Rows and columns of patches, at least 2; the published 7 make patches of 32 px of a view of 224 px.
        slack: How far below the mean of the map the foreground reaches; see
            :func:`~amask_solo.localisers.foreground`.
        background: Whether background is hidden too. If not, only a share of the foreground is, as in the published
            hard negatives.
        most: The largest part of the image that may be hidden in its foreground, in (0, 1]; the share of such an image
            is lower.
        separate: The share of images, in [0, 1], of which each channel has hidden patches of its own, as many as all
            channels have together in the others. There is then one mask for each channel.
        channels: Of the images. A run fills in those of its data.

    Raises:
        ValueError: If there is no localiser, shares are not in (0, 1) and in order, the grid has fewer than 2 rows, or
            ``most`` or ``separate`` is out of range.

    Example:
        >>> from amask_solo.localisers import Everywhere
        >>> masks = SaliencyMasker(Everywhere(), ratio=(0.25, 0.25), grid=8)(torch.zeros(2, 3, 64, 64))
        >>> masks.shape, masks.mean(dim=(1, 2, 3))
        (torch.Size([2, 1, 64, 64]), tensor([0.2500, 0.2500]))

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024, after the poster and the released code. The numbers of patches
        are rounded there; the remainder is drawn here.
    """

    def __init__(
        self,
        localiser: Localiser,
        *,
        ratio: Sequence[float] = (0.05, 0.25),
        grid: int = 7,
        slack: float = 0.6,
        background: bool = True,
        most: float = 1.0,
        separate: float = 0.0,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if not isinstance(localiser, Localiser):
            raise ValueError(f"Expected a Localiser, but got {localiser!r}; choose one by localiser=NAME.")
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] < 1:
            raise ValueError(f"Expected ratio as [low, high] with 0 < low <= high < 1, but got {ratio}.")
        if grid < 2 or not math.isfinite(slack):
            raise ValueError(f"Expected a grid of 2 rows or more and a number as slack, but got {grid} and {slack}.")
        if not 0 < most <= 1 or not 0 <= separate <= 1:
            raise ValueError(f"Expected most in (0, 1] and separate in [0, 1], but got {most} and {separate}.")
        self.localiser = localiser
        self.most, self.separate, self.channelwise = most, separate, separate > 0
        self.num_masks = channels if self.channelwise else 1
        self.ratio, self.grid, self.slack, self.background = list(ratio), grid, slack, background

    def foreground(self, images: Images) -> Cells:
        """Return which patches show the object."""
        return foreground(self.localiser(images), self.grid, slack=self.slack)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return one mask an image, or one for each of its channels."""
        inside = self.foreground(images)
        low, high = self.ratio
        share = low + (high - low) * torch.rand(len(images), 1, generator=generator, device=images.device)
        share = share.minimum(self.most / inside.flatten(1).float().mean(dim=1, keepdim=True))
        rows = (known.repeat_interleave(self.num_masks, dim=0) for known in (inside.flatten(1), share))
        hidden = proportionate(*rows, generator=generator).view(len(images), -1, self.grid, self.grid)
        if self.channelwise:
            draws = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
            hidden = torch.where(draws < self.separate, hidden, hidden[:, :1])
        patches = (hidden if self.background else hidden & inside).to(images.dtype)
        return F.interpolate(patches, images.shape[-2:], mode="nearest")


def proportionate(
    inside: Bool[Tensor, "b n"], share: Float[Tensor, "b 1"], *, generator: torch.Generator | None = None
) -> Bool[Tensor, "b n"]:
    r"""Draw a share of the cells of each row, and the same share of those that are inside.

    The cells stand in a random order, those inside first, and cell :math:`j` of :math:`n` is drawn if a whole number
    lies in :math:`(rj + u, \; r(j+1) + u]`, with one :math:`u \sim U(0, 1)` a row: a systematic sample. So each cell is
    drawn with probability :math:`r`, and any part that is contiguous in the order (all, inside, outside) gets its share
    of the draws, to less than one cell. No number leaves the device.

    Args:
        inside: Which cells belong together.
        share: The :math:`r` of each row, in [0, 1].
        generator: Source of randomness, on the device of ``inside``.
    """
    draws = torch.rand(inside.shape, generator=generator, device=inside.device)
    place = (draws + (~inside).float()).argsort(dim=1).argsort(dim=1)
    start = torch.rand(len(inside), 1, generator=generator, device=inside.device)
    return (share * (place + 1) + start).floor() > (share * place + start).floor()
