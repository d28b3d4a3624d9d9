"""One mask after another, each knowing what is hidden already."""

from collections.abc import Sequence

import torch

from amask_solo._types import Images, Masks
from amask_solo.maskers.base import Masker
from amask_solo.maskers.networks import NetworkFactory, UNet, check_resolution, enlarge, shrink
from amask_solo.occlusion import occlude
from amask_solo.projections import AreaBudget, Disjoint, Projection

_QUARTER = Disjoint(AreaBudget(0.25))


class SequentialMasker(Masker):
    r"""Make the masks one after another; each sees the view without what the earlier ones hide.

    With :math:`h_0 = 0`, one network :math:`g` and one projection :math:`P_n` a step,

    .. math::

        m_n = P_n(g((1 - h_{n-1}) \, x, \; h_{n-1})), \qquad h_n = 1 - (1 - h_{n-1}) (1 - m_n).

    This is **our reading** of sequential adversarial masking: of that work only the abstract was at
    hand, which says that masks are generated one after another under different constraints on the
    adversary. How a mask depends on the earlier ones, that the steps share a network, and what the
    constraints are, is ours.

    Args:
        num_masks: How many masks.
        network: Builds the network: 4 channels in (the view and what is hidden), one map of scores
            out.
        projection: Turns scores into a mask; one for all steps, or a list with one for each. By default a quarter of
            the image that no earlier mask hides: without that, nothing keeps the masks from being the same.
        resolution: The share of height and width that the network works at. The scores are enlarged
            before they are projected, so budgets hold at full size.
        through_earlier: Whether the gradient of a mask also flows into the earlier masks that it
            has seen. If not, each mask is trained by what it itself hides.

    Raises:
        ValueError: If there is no mask, the number of projections is not that of masks, or the
            resolution is not in (0, 1].

    Example:
        >>> SequentialMasker()(torch.randn(2, 3, 32, 32)).mean(dim=(-2, -1))[0]
        tensor([0.2500, 0.2500, 0.2500], grad_fn=<SelectBackward0>)

    References:
        Sam et al., `Improving self-supervised representation learning via sequential adversarial
        masking <https://arxiv.org/abs/2212.08277>`_, 2022 (the abstract).
    """

    def __init__(
        self,
        num_masks: int = 3,
        *,
        network: NetworkFactory = UNet,
        projection: Projection | Sequence[Projection] = _QUARTER,
        resolution: float = 0.25,
        through_earlier: bool = False,
    ) -> None:
        super().__init__()
        projections = list(projection) if isinstance(projection, Sequence) else [projection] * num_masks
        if num_masks < 1 or len(projections) != num_masks:
            raise ValueError(
                "Expected num_masks of 1 or more and one projection for each, but got "
                f"{num_masks} masks and {len(projections)} projections; "
                "a single one, not in a list, serves all steps."
            )
        self.num_masks = num_masks
        self.resolution = check_resolution(resolution)
        self.projections = projections
        self.through_earlier = through_earlier
        self.network = network(in_channels=4, out_channels=1)

    def forward(
        self,
        images: Images,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> Masks:
        """Return the masks in the order in which they were made; nothing is drawn at random."""
        # The view is shrunk once; what is hidden is removed from the small view, which costs a
        # fraction.
        view = shrink(images, self.resolution)
        nothing = torch.zeros_like(view)
        hidden = torch.zeros_like(images[:, :1], dtype=torch.float32)
        # Soft masks are disjoint if their sum is at most one; their union would be less than that.
        taken = hidden
        masks: list[Masks] = []
        for project in self.projections:
            small = shrink(hidden, self.resolution).to(view.dtype)
            logits = self.network(torch.cat([occlude(view, small, nothing), small], dim=1))
            masks.append(project(enlarge(logits, images.shape[-2:]), taken))
            known = masks[-1] if self.through_earlier else masks[-1].detach()
            hidden = torch.lerp(hidden, torch.ones_like(hidden), known)
            taken = (taken + known).clamp(max=1)
        return torch.cat(masks, dim=1).to(images.dtype)
