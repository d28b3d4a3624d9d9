r"""The game between encoder and masker. Read this file first.

.. math::

    \min_{\text{encoder}} \; \max_{\text{masker}} \;
    \sum_n w_n \, L\bigl(x_1, \; \mathrm{occlude}(x_2, m_n)\bigr) - C(m), \qquad m = \mathrm{masker}(x_2)

Here :math:`x_1, x_2` are two views of an image, :math:`C` is a constraint, and :math:`L` is the objective of a method
of the host, seen only as a function of its views. The sum over :math:`n` is a list of
:class:`~amask_solo._types.WeightedViews` (:meth:`Game.entries`), which can express all masks in turn, one drawn mask
for each image, growing occlusion, and hard views. :mod:`~amask_solo.game.updates` says how the players take turns.

With ``pairs``, several pairs of views :math:`p`, each with a weight :math:`w_p`, stand in the place of the one in
:math:`L`. With :math:`\tilde x_v = \mathrm{occlude}(x_v, m^v_n)` and :math:`m^v = \mathrm{masker}(x_v)`, the sum is

.. math::

    \sum_n w_n \bigl[ w_{\text{first}} \, L(\tilde x_1, x_2) + w_{\text{second}} \, L(x_1, \tilde x_2) +
    w_{\text{both}} \, L(\tilde x_1, \tilde x_2) + w_{\text{neither}} \, L(x_1, x_2) \bigr] - C(m^1 \cup m^2).

References:
    Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_, ICML 2022.
    Sam et al., `Improving Self-Supervised Representation Learning via Sequential Adversarial Masking
    <https://arxiv.org/abs/2212.08277>`_, 2022.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._types import BaseLoss, Images, Masks, Scalar, Views, WeightedViews
from amask_solo.constraints.base import Constraint
from amask_solo.fills.base import Fill
from amask_solo.game.negatives import HardNegatives
from amask_solo.game.pairs import PAIRS, check_pairs, masked_pairs, paired
from amask_solo.hard_views.base import Chain, HardView
from amask_solo.maskers.base import Masker, draw_one
from amask_solo.occlusion import carry, occlude

Apply = Literal["each", "cumulative"]
Draw = Literal["one", "all"]
Reduction = Literal["mean", "sum"]

StackedMasks = Float[Tensor, "stacked shown h w"]
"""The masks of the masked views, concatenated along the batch."""

_NOTHING_MORE = Chain()


class Game(nn.Module):
    """The sum that the encoder minimizes and the masker maximizes, and the masker's penalty.

    Args:
        masker: Proposes N masks for a view.
        fill: Makes the content that shows where a view is hidden.
        constraint: The penalty on all proposed masks, shown or not.
        draw: ``"all"`` shows all masks in turn, with one call of the host for each; ``"one"`` shows one mask, drawn for
            each image and step (ADIOS-S), and costs as much as the method without masks.
        apply: ``"each"`` mask alone, or ``"cumulative"``: the n-th occlusion hides what masks 1 to n hide.
        reduction: ``"mean"`` weighs N entries by 1/N, so that N does not change the size of a step; ``"sum"`` weighs
            each by 1, as the reference code of ADIOS does.
        pairs: The pairs of views that each mask makes, named by what is masked in them (``first``, ``second``,
            ``both``, ``neither``), with their weights, at least 0. ``None`` makes one, with the masked views that the
            method chooses. If both views are masked, they share what is drawn for an image, and to the constraint their
            2 N masks are those of one image.
        share: The share of the images that is occluded, in (0, 1], drawn anew in each step; the others are shown
            whole (ours).
        negatives: Hard negatives, which become a part of :math:`L`; ``None`` leaves the host's loss as it is.
        hard_views: Makes the occluded views harder; with ``pairs``, before these, so that an attack sees all masked
            views.
        drop_tokens: Whether a masked view carries its mask along (:func:`~amask_solo.occlusion.carry`), for a vision
            transformer that leaves out hidden patches; see :mod:`amask_solo.masked.tokens`.

    Raises:
        ValueError: If a setting is not among its choices, is out of range, or does not fit ``drop_tokens`` or the
            number of masks, if no pair has a mask, or if the constraint is for another number of masks.
    """

    def __init__(
        self,
        masker: Masker,
        fill: Fill,
        constraint: Constraint,
        *,
        draw: Draw = "one",
        apply: Apply = "each",
        reduction: Reduction = "mean",
        pairs: Mapping[str, Any] | None = None,
        share: float = 1.0,
        negatives: HardNegatives | None = None,
        hard_views: HardView = _NOTHING_MORE,
        drop_tokens: bool = False,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("draw", draw, ("one", "all")),
            ("apply", apply, ("each", "cumulative")),
            ("reduction", reduction, ("mean", "sum")),
        ):
            if value not in known:
                raise ValueError(f"Expected {name} to be one of {known}, but got {value!r}.")
        if not 0 < share <= 1:
            raise ValueError(f"Expected share to be in (0, 1], but got {share}.")
        if masker.channelwise and (drop_tokens or apply == "cumulative"):
            raise ValueError(
                "Masks of single channels do not go with drop_tokens or apply=cumulative; leave these out."
            )
        if drop_tokens and (share < 1 or apply == "cumulative" or not hard_views.idle):
            raise ValueError(
                "drop_tokens leaves equally many patches out of each masked view, so it takes share=1, apply=each and "
                "hard_views=none; change these, or leave drop_tokens out."
            )
        if apply == "cumulative" and masker.num_masks == 1:
            raise ValueError(
                "apply=cumulative adds masks up, but the masker makes a single one; set its num_masks to 2 or "
                "more, or leave apply out."
            )
        self.pairs = check_pairs(pairs)
        constraint.check(masker.num_masks, views=max(1, len(self.sides)))
        self.masker, self.fill, self.constraint, self.hard_views = masker, fill, constraint, hard_views
        self.negatives = negatives
        self.draw, self.reduction, self.share = draw, reduction, share
        self.apply_ = apply  # `apply` is a method of every module
        self.drop_tokens = drop_tokens

    @property
    def sides(self) -> list[int]:
        """The indexes of the views that some pair masks; none without ``pairs``, since the method then chooses."""
        return sorted({side for name in self.pairs for side in PAIRS[name]})

    @property
    def num_shown(self) -> int:
        """The number of masks of an image that are shown in turn."""
        return 1 if self.draw == "one" or self.masker.channelwise else self.masker.num_masks

    @property
    def num_entries(self) -> int:
        """The number of entries in the sum: the calls of the host for one batch, without those of an attack."""
        harder, masked = self.num_shown * self.hard_views.num_entries, len(masked_pairs(self.pairs))
        # The pair without a mask is the same for all masks.
        return harder * masked + len(self.pairs) - masked if self.pairs else harder

    def propose(self, view: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return all N masks, or one drawn mask for each image if neither constraint nor occlusion needs the others."""
        alone = self.draw == "one" and self.apply_ == "each" and len(self.sides) < 2
        if alone and self.constraint.free and not self.masker.channelwise:
            return self.masker.draw_one(view, generator=generator)
        return self.masker(view, generator=generator)

    def occlusions(self, masks: Masks) -> Masks:
        """Return the mask of each of the N occlusions: a mask alone, or the union of all masks up to it."""
        return 1 - (1 - masks).cumprod(dim=1) if self.apply_ == "cumulative" else masks

    def penalty(self, masks: StackedMasks, sides: Sequence[int]) -> Scalar:
        """Return the constraint on all proposed masks, with pairs as 2 N masks of an image if both views are masked.

        Those of the first view come first, in whichever order the views are masked.
        """
        if not self.pairs:
            return self.constraint(masks)
        of_view = dict(zip(sides, masks.chunk(len(sides)), strict=True))
        return self.constraint(torch.cat([of_view[side] for side in sorted(sides)], dim=1))

    def show(
        self, masks: Masks, sides: Sequence[int] = (0,), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b shown h w"]:
        """Return the masks to apply: N of each view, or one if one is drawn for each image."""
        masks = self.occlusions(masks)
        if not self.pairs:
            return self._draw(masks, generator=generator)
        # Masks of both views one above the other are masks of one image, for which a single number is drawn.
        above = torch.cat(masks.chunk(len(sides)), dim=-2)
        return torch.cat(self._draw(above, generator=generator).chunk(len(sides), dim=-2))

    def _draw(self, masks: Masks, *, generator: torch.Generator | None) -> Float[Tensor, "b shown h w"]:
        if self.share < 1:
            occluded = torch.rand(len(masks), generator=generator, device=masks.device) < self.share
            masks = masks * occluded[:, None, None, None]
        if self.draw == "all" or masks.shape[1] == 1 or self.masker.channelwise:
            return masks
        return draw_one(masks, generator=generator)

    def entries(
        self,
        views: Views,
        shown: StackedMasks,
        sides: Sequence[int],
        loss: BaseLoss,
        *,
        generator: torch.Generator | None = None,
    ) -> Iterator[WeightedViews]:
        """Yield the entries of the sum lazily: the views that the encoder gets, and their weight.

        Args:
            views: The clean views.
            shown: The masks of the views in ``sides``, concatenated along the batch.
            sides: The indexes of the masked views; hard views change the last one.
            loss: The host's objective without side effects, for hard views that attack it.
            generator: Source of randomness for the fill and the hard views.

        Raises:
            ValueError: As :meth:`harder`.
        """
        harder = self.harder(views, shown, sides, loss, generator=generator)
        total = float(self.num_shown) if self.reduction == "sum" else 1.0
        return paired(harder, views, self.pairs, total=total) if self.pairs else harder

    def harder(
        self,
        views: Views,
        shown: StackedMasks,
        sides: Sequence[int],
        loss: BaseLoss,
        *,
        generator: torch.Generator | None = None,
    ) -> Iterator[WeightedViews]:
        """Yield the entries before pairs, one for each mask and hard view; the arguments are those of :meth:`entries`.

        Raises:
            ValueError: If hard views make another number of entries than they declare. The host would then write its
                statistics and queues in the wrong call, since it does so in the last one.
        """
        occluded = self.occluded(views, shown, sides, generator=generator)
        expected, made = self.num_shown * self.hard_views.num_entries, 0
        for made, entry in enumerate(self.hard_views(occluded, loss, generator=generator), start=1):  # noqa: B007
            yield entry
        if made != expected:
            raise ValueError(
                f"Expected {expected} entries of {type(self.hard_views).__name__}, which says that it makes "
                f"{self.hard_views.num_entries} of each, but got {made}; set its num_entries."
            )

    def occluded(
        self, views: Views, shown: StackedMasks, sides: Sequence[int], *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield the entries before hard views, one for each mask; the arguments are those of :meth:`entries`."""
        seen = masked_views(views, sides)
        content = self.fill(seen, generator=generator)
        channelwise = self.masker.channelwise
        count = shown.shape[1] // (seen.shape[1] if channelwise else 1)
        weight = 1.0 if self.reduction == "sum" else 1 / count
        for mask in _parts(shown, count, dim=1):
            occluded = occlude(seen, mask, content, channelwise=channelwise)
            occluded = carry(occluded, mask) if self.drop_tokens else occluded
            hard = dict(zip(sides, _parts(occluded, len(sides)), strict=True))
            yield WeightedViews(tuple(hard.get(n, view) for n, view in enumerate(views)), weight, sides[-1])

    @staticmethod
    def value(entries: Iterable[WeightedViews], loss: BaseLoss) -> Scalar:
        """Return the weighted sum of the host's losses."""
        values = [entry.weight * loss(entry.views) for entry in entries]
        return torch.stack(values).sum() if len(values) > 1 else values[0]


def masked_views(views: Views, sides: Sequence[int]) -> Float[Tensor, "stacked c h w"]:
    """Return the masked views, concatenated along the batch."""
    return views[sides[0]] if len(sides) == 1 else torch.cat([views[side] for side in sides])


def _parts(tensor: Tensor, number: int, dim: int = 0) -> Sequence[Tensor]:
    """Return equal parts; a single one is the tensor itself, whose backward pass then copies nothing."""
    return tensor.chunk(number, dim) if number > 1 else [tensor]
