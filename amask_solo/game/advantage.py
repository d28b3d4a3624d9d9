r"""How strong the adversary is, compared with random blocks and with its own masks of other images. Ours.

Most of a mask's effect on the objective comes from hiding anything at all. Let :math:`L_0` be the host's objective on
clean views, and :math:`L(m)` the objective with masks :math:`m` on one of them. Then :math:`L(m) - L_0` is the *lift*
of these masks, and

.. math::

    \mathrm{advantage} = \frac{L(m) - L_0}{L(\text{random blocks, each as large as the mask}) - L_0}, \qquad
    \mathrm{attention} = \frac{L(m) - L_0}{L(m \text{ of other images}) - L_0}.

A value of 1 is chance: random blocks, or the masks of another image, do as well as the image's own masks.
"""

from collections.abc import Iterable, Mapping
from math import nan, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import BaseLoss, Views
from amask_solo.game.game import Game
from amask_solo.game.monitor import Finding
from amask_solo.maskers.patterns import random_blocks

Lifts = Float[Tensor, "batches 3 n"]
"""The lifts of N masks, of random blocks of their areas, and of the masks of other images, for each batch."""

BLIND = 1.25
"""A mask whose attention is clearly below this is reported as blind: masks of other images do as well."""


class Ratio(NamedTuple):
    """A ratio of lifts and its standard error; both are NaN if the ratio is undefined."""

    value: float
    error: float


@torch.no_grad()
def measure_lifts(
    game: Game, loss: BaseLoss, views: Views, side: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "3 n"]:
    """Return the lifts of each mask, of random blocks, and of the masks of other images in one batch.

    All images are occluded, whatever the game's ``share``, and all N occlusions are measured, even if the game draws
    one. If the network drops hidden patches, it drops as many for a block as for a mask: those that it hides most.

    Args:
        game: Makes the masks and the fill; with ``apply: cumulative``, the n-th mask is the union of the first n.
        loss: The host's objective without side effects; it is called 1 + 3 N times.
        views: The clean views of at least two images.
        side: The index of the masked view.
        generator: Source of randomness for the masks, the fill and the blocks.
    """
    own = game.occlusions(game.masker(views[side], generator=generator))
    # The batch is in random order, so the previous image is a random other one.
    kinds = [own, random_blocks(own, generator=generator), own.roll(1, dims=0)]
    entries = game.occluded(views, torch.cat(kinds, dim=1), [side], generator=generator)
    losses = torch.stack([loss(entry.views) for entry in entries]).float()
    # An alias is to the objective a masked view that hides nothing, so both lack the same terms, if it leaves any out.
    nothing_hidden = [view.view_as(view) if place == side else view for place, view in enumerate(views)]
    return losses.unflatten(0, (3, -1)) - loss(nothing_hidden).float()


def ratio(tops: Float[Tensor, " batches"], bottoms: Float[Tensor, " batches"]) -> Ratio:
    """Return the sum of ``tops`` over the sum of ``bottoms``; NaN unless ``bottoms`` are clearly above zero.

    Clearly means that their mean exceeds twice its standard error, which takes at least two batches.

    Example:
        >>> ratio(torch.tensor([0.2, 0.2]), torch.tensor([0.1, 0.1])), ratio(torch.ones(2), torch.tensor([-0.1, 0.2]))
        (Ratio(value=2.0, error=0.0), Ratio(value=nan, error=nan))
    """
    count = len(bottoms)
    if count < 2 or not bottoms.mean() > 2 * bottoms.std() / sqrt(count):
        return Ratio(nan, nan)
    value = tops.sum() / bottoms.sum()
    # The residuals `tops - value * bottoms` give the standard error of a ratio of means.
    error = (tops - value * bottoms).std() / sqrt(count) / bottoms.mean()
    return Ratio(float(value), float(error))


def advantage_statistics(lifts: Lifts) -> dict[str, float]:
    """Return ``advantage`` and ``attention``, overall and by mask (``advantage_1`` ...), each with its ``..._error``.

    Args:
        lifts: The results of :func:`measure_lifts` for several batches. The ratios are taken of sums over batches,
            because the ratio of a single batch is mostly noise.

    Example:
        >>> own, blocks, others = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.1, 0.1]]), torch.tensor([[0.1, 0.2]])
        >>> found = advantage_statistics(torch.stack([own, blocks, others], dim=1).repeat(2, 1, 1))
        >>> {name: round(found[name], 2) for name in ("advantage", "advantage_1", "advantage_2", "advantage_2_error")}
        {'advantage': 2.0, 'advantage_1': 3.0, 'advantage_2': 1.0, 'advantage_2_error': 0.0}
    """
    own, *rivals = lifts.unbind(dim=1)  # (batches, N) each
    found: dict[str, float] = {}
    for name, rival in zip(("advantage", "attention"), rivals, strict=True):
        ratios = {name: ratio(own.mean(dim=1), rival.mean(dim=1))}
        ratios |= {f"{name}_{n + 1}": ratio(own[:, n], rival[:, n]) for n in range(own.shape[1])}
        found |= {key: known.value for key, known in ratios.items()}
        found |= {f"{key}_error": known.error for key, known in ratios.items()}
    return found


def measure_advantage(
    game: Game, loss: BaseLoss, batches: Iterable[Views], *, side: int = 1, generator: torch.Generator | None = None
) -> dict[str, float]:
    """Return the :func:`advantage_statistics` of present masks on several batches, in a loop without a host.

    Args:
        game: Makes the masks and the fill.
        loss: The objective as a function of the views, without side effects: take a network in evaluation mode.
        batches: The clean views of each batch, of at least two images; at least two batches, since a standard error is
            part of the result.
        side: The index of the masked view.
        generator: Source of randomness for masks, fill and random blocks.
    """
    lifts = [measure_lifts(game, loss, views, side, generator=generator) for views in batches]
    return advantage_statistics(torch.stack(lifts))


def diagnose_advantage(statistics: Mapping[str, float]) -> list[Finding]:
    """Report from :func:`advantage_statistics` masks weaker than chance or blind to the image, by two standard errors.

    Example:
        >>> found = {"advantage_1": 2.1, "advantage_1_error": 0.1, "advantage_2": 0.7, "advantage_2_error": 0.1}
        >>> print(diagnose_advantage(found)[0].what)
        Masks that are weaker than chance: number 2 (0.70) of 2; random blocks as large make the task harder.
    """
    findings = []
    if named := _below(1.0, "advantage_", statistics):
        findings.append(
            Finding(
                "weak",
                f"Masks that are weaker than chance: number {named}; random blocks as large make the task harder.",
                "soft masks that veil more than they hide (see masks/entropy), masks that get what earlier ones leave "
                "over, or a masker that has not caught up with the encoder",
                "an area budget as projection, a higher adversary.optimizer.lr, or, of several masks, fewer of them or "
                "adversary.apply=cumulative",
            )
        )
    if named := _below(BLIND, "attention_", statistics):
        findings.append(
            Finding(
                "blind",
                f"Masks that do not look at the image: number {named}; those of another image do as well.",
                "the masker has found no more than a pattern that is hard on average, or it is slower than the encoder",
                "a higher adversary.optimizer.lr or adversary.masker.resolution, or fewer masks; compare with "
                "masker=centered",
            )
        )
    return findings


def _below(bound: float, prefix: str, statistics: Mapping[str, float]) -> str:
    """Return the numbers of the masks whose ratio is clearly below a bound; undefined ratios do not count."""
    numbers = [name.removeprefix(prefix) for name in statistics if name.startswith(prefix)]
    numbers = [n for n in numbers if n.isdecimal()]
    named = ", ".join(
        f"{n} ({statistics[prefix + n]:.2f})"
        for n in numbers
        if statistics[prefix + n] + 2 * statistics[f"{prefix}{n}_error"] < bound
    )
    return f"{named} of {len(numbers)}" if named else ""
