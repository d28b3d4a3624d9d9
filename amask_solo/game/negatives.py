"""Hard negatives: one more view of each image, from which the image's query is pushed away."""

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

from amask_solo._types import Images, Scalar
from amask_solo.fills.base import Fill
from amask_solo.maskers.base import Masker
from amask_solo.occlusion import occlude


class HardNegatives(nn.Module):
    r"""The background of the key's view, its object hidden, as one more negative of the query.

    The similarity of the query :math:`q` and the hard negative :math:`h`, times a weight, is one more logit of the
    contrastive loss: :math:`\rho \, q^\top h / T`. Both are normalized, and :math:`h` has no gradient.

    Args:
        masker: Hides the object; if it makes several masks of an image, one is drawn. It is not trained.
        weight: :math:`\rho`, above 0; 1 weighs a hard negative like any other.
        fill: What hidden pixels of a hard negative show; by default what those of the game show.

    Raises:
        ValueError: If the masker has parameters, or the weight is not positive.

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024, after the poster and the released code, in which all queries of
        a device share the hard negative of its first image and the weight is 2. Here each query has its own.
    """

    def __init__(self, masker: Masker, *, weight: float = 1.0, fill: Fill | None = None) -> None:
        super().__init__()
        if any(p.requires_grad for p in masker.parameters()):
            raise ValueError(f"Expected negatives of a masker without parameters, but nobody trains {masker}.")
        if not weight > 0:
            raise ValueError(f"Expected the weight of negatives to be positive, but got {weight}.")
        self.masker, self.weight, self.fill = masker, weight, fill

    @torch.no_grad()
    def views(self, view: Images, fill: Fill, *, generator: torch.Generator | None = None) -> Images:
        """Return the clean view of the keys with its object hidden."""
        channelwise = self.masker.channelwise
        mask = (self.masker if channelwise else self.masker.draw_one)(view, generator=generator)
        return occlude(view, mask, (self.fill or fill)(view, generator=generator), channelwise=channelwise)


def one_more_logit(logits: Float[torch.Tensor, " n"], partition: Float[torch.Tensor, " n"]) -> Scalar:
    r"""Return the increase of a cross-entropy when each row gets one more logit that is not its label.

    With the logits :math:`x_j` of a row and :math:`Z = \log \sum_j e^{x_j}`, a logit :math:`h` adds

    .. math:: \log (e^Z + e^h) - Z = \log (1 + e^{h - Z}),

    to the value and to the gradients, exactly.

    Args:
        logits: The additional logit of each row.
        partition: :math:`Z` of each row.

    Example:
        >>> rows, label = torch.tensor([[2.0, 0.5]]), torch.tensor([0])
        >>> longer = torch.tensor([[2.0, 0.5, 1.0]])
        >>> added = one_more_logit(longer[:, 2], rows.logsumexp(dim=1))
        >>> F.cross_entropy(rows, label) + added, F.cross_entropy(longer, label)
        (tensor(0.4644), tensor(0.4644))
    """
    return F.softplus(logits.float() - partition.float()).mean()
