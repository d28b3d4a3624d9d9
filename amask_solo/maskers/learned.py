"""Learned masks: one after another, each knowing what is hidden already, or all at once."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import Images, Logits, Masks, OneMask
from amask_solo.maskers.base import Masker
from amask_solo.maskers.networks import NetworkFactory, SmallImages, UNet, check_resolution, enlarge, shrink
from amask_solo.projections import AreaBudget, Disjoint, Projection, Softmax

Sight = Float[Tensor, "b seen small_h small_w"]
"""What a step looks at: the small view without what is hidden, and what is hidden."""

_QUARTER = Disjoint(AreaBudget(0.25))
_SHARED_OUT = Softmax()


class SequentialMasker(Masker):
    r"""Make the masks one after another; each sees the view without what the earlier ones hide.

    With :math:`h_0 = 0`, one network :math:`g` and one projection :math:`P_n` a step,

    .. math::

        m_n = P_n(g((1 - h_{n-1}) \, x, \; h_{n-1})), \qquad h_n = 1 - (1 - h_{n-1}) (1 - m_n).

    This is **our reading** of sequential adversarial masking: of that work only the abstract was at hand, which says
    that masks are generated one after another under different constraints on the adversary. How a mask depends on the
    earlier ones, that the steps share a network, and what the constraints are, is ours.

    Args:
        num_masks: How many masks, at least 1.
        network: Builds the network: the view's channels and what is hidden in, one map of scores out.
        projection: Turns scores into a mask; one for all steps, or a list with one for each. By default a quarter of
            the image that no earlier mask hides: without that, nothing keeps the masks from being the same.
        resolution: The share of height and width that the network works at, in (0, 1]. The scores are enlarged before
            they are projected, so budgets hold at full size.
        through_earlier: Whether the gradient of a mask also flows into the earlier masks that it has seen. If not,
            each mask is trained by what it itself hides.
        channels: Of the images. A run fills in those of its data.

    Raises:
        ValueError: If there is no mask, the number of projections is not that of masks, one of them shares pixels
            out between masks, disjoint masks have no room in one image, or the resolution is not in (0, 1].

    Example:
        >>> SequentialMasker()(torch.randn(2, 3, 32, 32)).mean(dim=(-2, -1))[0]
        tensor([0.2500, 0.2500, 0.2500], grad_fn=<SelectBackward0>)

    References:
        Sam et al., `Improving self-supervised representation learning via sequential adversarial masking
        <https://arxiv.org/abs/2212.08277>`_, 2022 (the abstract).
    """

    def __init__(
        self,
        num_masks: int = 3,
        *,
        network: NetworkFactory = UNet,
        projection: Projection | Sequence[Projection] = _QUARTER,
        resolution: float = 0.25,
        through_earlier: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        projections = list(projection) if isinstance(projection, Sequence) else [projection] * num_masks
        if num_masks < 1 or len(projections) != num_masks:
            raise ValueError(
                f"Expected num_masks of 1 or more and one projection for each, but got {num_masks} masks and "
                f"{len(projections)} projections; a single one, not in a list, serves all steps."
            )
        _check(projections)
        self.num_masks = num_masks
        self.resolution = check_resolution(resolution)
        self.projections = projections
        self.through_earlier = through_earlier
        self.network = network(in_channels=channels + 1, out_channels=1)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks in the order in which they were made; only a projection may draw at random."""
        # The view is shrunk once; what is hidden is removed from the small view, which costs a fraction.
        view, size = shrink(images, self.resolution), images.shape[-2:]
        hidden = taken = None
        masks: list[Masks] = []
        for project in self.projections:
            if masks:
                known = masks[-1] if self.through_earlier else masks[-1].detach()
                hidden, taken = _hide(hidden, taken, known)
            logits = self._logits(self._sight(view, hidden), size)
            masks.append(project(logits, taken, generator=generator))
        return torch.cat(masks, dim=1).to(images.dtype)

    def draw_one(self, images: Images, *, generator: torch.Generator | None = None) -> OneMask:
        """Return one mask an image; each step is drawn for equally many of the images, to one.

        Of an image, only the steps that lead to its mask are made; and since a mask is not trained through earlier
        ones, the last steps of all images are one pass through the network.
        """
        if self.through_earlier or len(images) < self.num_masks:
            return super().draw_one(images, generator=generator)
        order = torch.randperm(len(images), generator=generator, device=images.device)
        if self.num_masks == 1:
            return self(images, generator=generator)  # nothing to choose, but the random stream goes on as it does
        return self._drawn(images, order, generator)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what makes masks, but for what draws: a compiled graph takes no generator."""
        if any(project.draws for project in self.projections):
            self.network.compile(*args, **kwargs)
            return
        super().compile(*args, **kwargs)
        self._drawn = torch.compile(self._drawn, *args, **kwargs)  # type: ignore[method-assign]

    def _drawn(self, images: Images, order: Tensor, generator: torch.Generator | None) -> OneMask:
        """Return the mask of the first step for the first of the images in this order, and so on."""
        view, size = shrink(images, self.resolution)[order], images.shape[-2:]
        hidden = taken = None
        sights, rooms = [], []
        for steps_left, project in zip(range(self.num_masks, 0, -1), self.projections, strict=True):
            sight, ready = self._sight(view, hidden), len(view) // steps_left
            sights.append(sight[:ready])
            rooms.append(sight.new_zeros(ready, 1, *size, dtype=torch.float32) if taken is None else taken[:ready])
            if steps_left > 1:
                view, sight = view[ready:], sight[ready:]
                if hidden is not None and taken is not None:
                    hidden, taken = hidden[ready:], taken[ready:]
                with torch.no_grad():
                    mask = project(self._logits(sight, size), taken, generator=generator)
                hidden, taken = _hide(hidden, taken, mask)
        logits = self._logits(torch.cat(sights), size)
        masks = self._project(logits, rooms, generator)
        return torch.empty_like(masks).index_copy(0, order, masks).to(images.dtype)

    def _sight(self, view: SmallImages, hidden: OneMask | None) -> Sight:
        if hidden is None:
            return torch.cat([view, torch.zeros_like(view[:, :1])], dim=1)
        small = shrink(hidden, self.resolution).to(view.dtype)
        return torch.cat([torch.addcmul(view, view, small, value=-1), small], dim=1)

    def _logits(self, sight: Sight, size: torch.Size) -> Logits:
        return enlarge(self.network(sight), size)

    def _project(self, logits: Logits, rooms: list[Tensor], generator: torch.Generator | None) -> OneMask:
        if all(project is self.projections[0] for project in self.projections):
            return self.projections[0](logits, torch.cat(rooms), generator=generator)
        parts = zip(self.projections, logits.split([len(room) for room in rooms]), rooms, strict=True)
        return torch.cat([project(part, room, generator=generator) for project, part, room in parts])


def _check(projections: Sequence[Projection]) -> None:
    """Refuse masks that share pixels out, of which a step makes one, or the last of which would find nothing left."""
    if any(project.shares_out for project in projections):
        raise ValueError(
            "projection: Softmax, or one like it, shares pixels out between masks that are made at once, but a step "
            "makes one, which would hide everything; take Sigmoid or AreaBudget, or masker=simultaneous."
        )
    least = sum(p.least for p in projections if p.disjoint)
    if least > 1 + 1e-6:
        raise ValueError(
            f"Expected disjoint masks with room for all of them, but {len(projections)} masks take {least:g} times the "
            "image; take fewer masks, a smaller area for each, or AreaBudget without Disjoint, which lets them overlap."
        )


def _hide(hidden: OneMask | None, taken: OneMask | None, mask: OneMask) -> tuple[OneMask, OneMask]:
    """Return what is hidden with one more mask: the union, and the sum, by which soft masks are disjoint."""
    if hidden is None or taken is None:
        return mask, mask
    return torch.lerp(hidden, torch.ones_like(hidden), mask), (taken + mask).clamp(max=1)


class SimultaneousMasker(Masker):
    """Score all N masks in one pass; by default they share the image out between them, as in ADIOS.

    Args:
        num_masks: How many masks, at least 1.
        network: Builds the network: the view's channels in, one map of scores a mask out.
        projection: Turns the scores of all masks into masks.
        resolution: The share of height and width that the network works at, in (0, 1]. The scores are enlarged before
            they are projected, so budgets hold at full size.
        channels: Of the images. A run fills in those of its data.

    Raises:
        ValueError: If there is no mask, or a single one that shares the image out, or if masks should be disjoint from
            earlier ones, or the resolution is not in (0, 1].

    Example:
        >>> SimultaneousMasker()(torch.randn(2, 3, 32, 32)).sum(dim=1).allclose(torch.ones(()))
        True

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning
        <https://arxiv.org/abs/2201.13100>`_, ICML 2022; with a network of our own.
    """

    def __init__(
        self,
        num_masks: int = 4,
        *,
        network: NetworkFactory = UNet,
        projection: Projection = _SHARED_OUT,
        resolution: float = 0.5,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if num_masks < 1:
            raise ValueError(f"Expected num_masks of 1 or more, but got {num_masks}.")
        if projection.disjoint and not projection.shares_out and num_masks > 1:
            raise ValueError(
                "projection: Disjoint leaves what earlier masks hide, but these are made at once and would overlap; "
                "take Softmax, which shares pixels out, constraint=overlap, or masker=sequential."
            )
        if projection.shares_out:
            # It refuses a single mask.
            projection(torch.zeros(1, num_masks, 1, 1), generator=torch.Generator())
        self.num_masks = num_masks
        self.resolution = check_resolution(resolution)
        self.projection = projection
        self.network = network(in_channels=channels, out_channels=num_masks)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what makes masks, but for what draws: a compiled graph takes no generator."""
        if self.projection.draws:
            self.network.compile(*args, **kwargs)
            return
        super().compile(*args, **kwargs)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return the masks; only a projection may draw at random."""
        logits = enlarge(self.network(shrink(images, self.resolution)), images.shape[-2:])
        return self.projection(logits, generator=generator).to(images.dtype)
