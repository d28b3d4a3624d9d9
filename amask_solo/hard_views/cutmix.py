r"""CutMix: a view shows a part of another image, and the objective matches it with the other views of both images.

The mask :math:`m_i` says where image :math:`i` shows image :math:`i - 1`:
:math:`\tilde x_i = \mathrm{occlude}(x_i, m_i, x_{i-1})`. With the other views :math:`x'`, the loss is

.. math:: \lambda \, L(x', \tilde x) + (1 - \lambda) \, L(x', \sigma \tilde x), \qquad \lambda = 1 - \mathrm{area}(m),

where :math:`\sigma` moves each mixed view to the place of the image that was pasted into it. The mixed views are moved
and not the clean ones, so clean views, indexes and labels keep their order, and memories by index (DeepCluster-v2) and
remembered clean views stay right: CutMix works with all methods.
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
    """Paste a part of another image of the batch, and split the weight between the two images.

    Each entry becomes two, which doubles the calls of the host and the encoder passes of the hard view.

    Args:
        masker: Makes one mask for each image; the other image shows in it. The weights follow the mean area over the
            batch, so all masks of a batch should be equally large. A grid of patches instead of a box gives MixMask.

    Raises:
        ValueError: If the masker makes several masks, or has parameters.

    References:
        Yun et al., `CutMix <https://arxiv.org/abs/1905.04899>`_, ICCV 2019. As a view of self-supervised methods: Li et
        al., `HEXA <https://arxiv.org/abs/2012.13493>`_, 2020, of which we only know the abstract; Vishniakov et al.,
        `MixMask <https://arxiv.org/abs/2210.11456>`_, 2022, which we know from the authors' description of their code.
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
        """Yield two entries for each: mixed views matched with the pasted images, then with their own."""
        for entry in entries:
            view = entry.views[entry.side]
            mask = self.masker(view.detach(), generator=generator)
            mixed = occlude(view, mask, view.roll(1, dims=0))
            pasted = mask.float().mean()
            yield entry.harder(mixed.roll(-1, dims=0), share=pasted)
            # The host remembers views from the last call, so there each mixed view stands at its own image.
            yield entry.harder(mixed, share=1 - pasted)


class Box(Masker):
    r"""Hide one box, equal in all images of a batch, with an area that is drawn for each batch.

    Height and width are :math:`\sqrt{1 - \lambda}` of the image's, with :math:`\lambda \sim \mathrm{Beta}(a, a)`. The
    center is anywhere in the image and the box is cut off at the border, so the area is at most :math:`1 - \lambda`.

    Args:
        alpha: :math:`a`, at least 0.01; 1 draws uniformly, smaller values draw mostly very small or very large boxes.

    Raises:
        ValueError: If ``alpha`` is below 0.01 or not finite.
    """

    num_masks = 1
    quantiles: Tensor

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0.01 <= alpha < float("inf"):
            raise ValueError(f"Expected alpha of 0.01 or more, but got {alpha}.")
        from scipy.stats import beta  # not at the top: a refusal need not wait for it

        # Torch's distributions take no generator, so a quantile is drawn from a table.
        quantiles = torch.from_numpy(beta.ppf((torch.arange(QUANTILES) + 0.5) / QUANTILES, alpha, alpha))
        self.register_buffer("quantiles", quantiles.float(), persistent=False)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return masks that do not depend on the content of the images."""
        # 1 - lambda has the same distribution as lambda.
        drawn, *centers = torch.rand(3, device=images.device, generator=generator)
        length = self.quantiles.take((drawn * QUANTILES).long()).sqrt()
        rows, columns = (
            (torch.linspace(0.5 / side, 1 - 0.5 / side, side, device=images.device) - center).abs() < length / 2
            for side, center in zip(images.shape[-2:], centers, strict=True)
        )
        return (rows[:, None] & columns).to(images.dtype).expand(len(images), 1, -1, -1)
