r"""CutMix: a part of another image in a view, and the objective with the partners of both images.

Image :math:`i` shows a part of image :math:`i - 1`, the mask :math:`m` says where:
:math:`\tilde x_i = \mathrm{occlude}(x_i, m_i, x_{i-1})`. The host is to match it with the partner of either:

.. math:: \lambda \, L(x', \tilde x) + (1 - \lambda) \, L(x', \sigma \tilde x), \qquad \lambda = 1 - \mathrm{area}(m),

where :math:`\sigma` moves each mixed view to the place of the image that was pasted into it. An objective does not mind
the order of a batch, so the clean views, the indexes and the labels stay as they are: what a host keeps by index
(DeepCluster-v2) or remembers of clean views is right, and no method has to be refused.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from amask_solo._types import BaseLoss, Images, Masks, WeightedViews
from amask_solo.hard_views.base import HardView
from amask_solo.maskers.base import Masker
from amask_solo.occlusion import occlude

QUANTILES = 1024


class CutMix(HardView):
    """Paste a part of another image of the batch, and share the weight between the partners of both.

    Each entry becomes two, in calls of the host and in encoder passes of the hard view.

    Args:
        masker: Where the other image shows, one mask an image. The weights are shared by the mean area over the
            batch, so all masks of a batch should be equally large. With a grid of patches in place of a box it is
            MixMask.

    Raises:
        ValueError: If the masker proposes several masks, or learns.

    References:
        Yun et al., `CutMix <https://arxiv.org/abs/1905.04899>`_, ICCV 2019; as a view of self-supervised methods Li et
        al., `HEXA <https://arxiv.org/abs/2012.13493>`_, 2020, known to us from the abstract. Vishniakov et al.,
        `MixMask <https://arxiv.org/abs/2210.11456>`_, 2022, known from the authors' description of their code.
    """

    num_entries = 2

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        if masker.num_masks != 1 or list(masker.parameters()):
            raise ValueError("Expected a masker that proposes one mask and has nothing to learn.")
        self.masker = masker

    def forward(
        self,
        entries: Iterable[WeightedViews],
        loss: BaseLoss,  # noqa: ARG002
        *,
        generator: torch.Generator | None = None,
    ) -> Iterator[WeightedViews]:
        """Yield two entries of each: the mixed views beside the partners of what was pasted, then beside their own."""
        for entry in entries:
            view = entry.views[entry.side]
            mask = self.masker(view.detach(), generator=generator)
            mixed = occlude(view, mask, view.roll(1, dims=0))
            pasted = mask.float().mean()
            yield entry.harder(mixed.roll(-1, dims=0), share=pasted)
            # The last one leaves the traces: what a host remembers of an image should be of a view that began as it.
            yield entry.harder(mixed, share=1 - pasted)


class Box(Masker):
    r"""Hide one box, the same in all images of a batch, of an area that differs from batch to batch.

    Height and width are :math:`\sqrt{1 - \lambda}` of the image's, :math:`\lambda \sim \mathrm{Beta}(a, a)`, around a
    point anywhere in the image; what would lie outside is cut off, so the area is :math:`1 - \lambda` or less.

    Args:
        alpha: :math:`a`; 1 draws uniformly, smaller ones mostly very small or very large boxes.

    Raises:
        ValueError: If it is not positive.
    """

    num_masks = 1
    quantiles: Tensor

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise ValueError(f"Expected alpha to be positive, but got {alpha}.")
        from scipy.stats import beta  # not at the top: a refusal need not wait for it

        # No distribution of torch takes a generator, so a quantile is drawn from a table.
        quantiles = torch.from_numpy(beta.ppf((torch.arange(QUANTILES) + 0.5) / QUANTILES, alpha, alpha))
        self.register_buffer("quantiles", quantiles.float(), persistent=False)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that do not depend on what the images show."""
        # 1 - lambda is distributed as lambda is.
        drawn, *centers = torch.rand(3, device=images.device, generator=generator)
        length = self.quantiles.take((drawn * QUANTILES).long()).sqrt()
        rows, columns = (
            (torch.linspace(0.5 / side, 1 - 0.5 / side, side, device=images.device) - center).abs() < length / 2
            for side, center in zip(images.shape[-2:], centers, strict=True)
        )
        return (rows[:, None] & columns).to(images.dtype).expand(len(images), 1, -1, -1)
