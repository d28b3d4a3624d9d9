r"""How strong the adversary is: its masks beside blind ones, and beside its own masks of other images. Ours.

Most of what a mask does to the objective comes from hiding something at all. With :math:`L_0` the host's objective on
clean views and :math:`L(m)` that with masks :math:`m` on one of them, :math:`L(m) - L_0` is the *lift* of these masks,
and

.. math::

    \mathrm{advantage} = \frac{L(m) - L_0}{L(\text{random blocks, each as large as the mask}) - L_0}, \qquad
    \mathrm{attention} = \frac{L(m) - L_0}{L(m \text{ of other images}) - L_0}.

1 is chance: blocks at random, or the masks of another image, do as well as the image's own.
"""

from collections.abc import Mapping
from math import nan, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo._types import BaseLoss, Views
from amask_solo.game.game import Game
from amask_solo.game.monitor import Finding
from amask_solo.maskers.patterns import random_blocks

Lifts = Float[Tensor, "batches 3 n"]
"""What N masks, blocks of their areas, and the masks of other images add to the loss of a batch."""

Samples = Float[Tensor, " batches"]
"""One number of each batch."""

WEAK = 0.9
"""Below this advantage a mask is called weaker than chance."""

BLIND = 1.05
"""Below this attention a mask is called the same as that of any other image."""


@torch.no_grad()
def measure_lifts(
    game: Game, loss: BaseLoss, views: Views, side: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "3 n"]:
    """Return how much the loss of a batch rises by each mask, by random blocks, and by masks of other images.

    Every image is hidden, whatever the game's ``share``, and all N occlusions are measured, however many are drawn.

    Args:
        game: Makes the masks and their fill; with ``apply: cumulative``, the n-th mask is the union of the first n.
        loss: The host's objective, without traces; 1 + 3 N calls.
        views: The clean views, of two images or more.
        side: The number of the one that is masked.
        generator: Source of randomness; of the masks, the fill and the blocks.
    """
    own = game.occlusions(game.masker(views[side], generator=generator))
    # The batch comes in random order, so the image before is any other one.
    kinds = [own, random_blocks(own, generator=generator), own.roll(1, dims=0)]
    entries = game.entries(views, torch.cat(kinds, dim=1), side, generator=generator)
    losses = torch.stack([loss(entry.views) for entry in entries]).float()
    return losses.unflatten(0, (3, -1)) - loss(views).float()


def ratio(tops: Samples, bottoms: Samples) -> float:
    """Return the sum of some lifts over that of others; NaN where the latter is not clearly above zero.

    That is, unless their mean is above twice its standard error, which takes two batches to know.

    Example:
        >>> ratio(torch.tensor([0.3, 0.1]), torch.tensor([0.11, 0.09])), ratio(torch.ones(2), torch.tensor([-0.1, 0.2]))
        (2.0, nan)
    """
    if len(bottoms) < 2 or not bottoms.mean() > 2 * bottoms.std() / sqrt(len(bottoms)):
        return nan
    return float(tops.sum() / bottoms.sum())


def advantage_statistics(lifts: Lifts) -> dict[str, float]:
    """Return ``advantage`` and ``attention``, in all and by mask (``advantage_1`` ...).

    Args:
        lifts: What :func:`measure_lifts` found, batch by batch. The ratios are of sums over batches: one of a
            single batch is mostly noise.

    Example:
        >>> own, blocks, others = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.1, 0.1]]), torch.tensor([[0.1, 0.2]])
        >>> found = advantage_statistics(torch.stack([own, blocks, others], dim=1).repeat(2, 1, 1))
        >>> {name: round(value, 2) for name, value in found.items() if "advantage" in name}
        {'advantage': 2.0, 'advantage_1': 3.0, 'advantage_2': 1.0}
    """
    own, blocks, others = lifts.unbind(dim=1)  # (batches, N) each
    return {
        name + suffix: ratio(pick(own), pick(rivals))
        for name, rivals in (("advantage", blocks), ("attention", others))
        for suffix, pick in (
            ("", lambda found: found.mean(dim=1)),
            *((f"_{n + 1}", lambda found, n=n: found[:, n]) for n in range(own.shape[1])),
        )
    }


def diagnose_advantage(statistics: Mapping[str, float]) -> list[Finding]:
    """Name masks that are weaker than chance, and masks that do not look at the image.

    Args:
        statistics: What :func:`advantage_statistics` returned.

    Example:
        >>> print(diagnose_advantage({"advantage_1": 2.1, "advantage_2": 0.7})[0].what)
        Masks that are weaker than chance: number 2 (0.70) of 2; random blocks as large make the task harder.
    """
    findings = []
    if named := _below(WEAK, "advantage_", statistics):
        findings.append(
            Finding(
                "weak",
                f"Masks that are weaker than chance: number {named}; random blocks as large make the task harder.",
                "soft masks that veil more than they hide (see masks/entropy), masks that get what earlier ones leave "
                "over, or a masker that has not caught up with the encoder",
                "an area budget as projection, fewer masks or adversary.apply=cumulative, or a higher "
                "adversary.optimizer.lr",
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


def _below(least: float, prefix: str, statistics: Mapping[str, float]) -> str:
    """Return the numbers of the masks below a value; NaN is not."""
    found = {name.removeprefix(prefix): value for name, value in statistics.items() if name.startswith(prefix)}
    named = ", ".join(f"{n} ({value:.2f})" for n, value in found.items() if value < least)
    return f"{named} of {len(found)}" if named else ""
