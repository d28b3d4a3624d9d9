"""Find the worst masks against a frozen backbone, and compare the run's own masker with them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amask_solo._random import seeded, stream
from amask_solo._types import Images, Masks
from amask_solo.evaluation.attackers import (
    Pool,
    draw_pool,
    embed,
    encode,
    hide,
    lift,
    make_attacker,
    strength,
    survivors,
    train_attacker,
)
from amask_solo.evaluation.linear import linear_probe
from amask_solo.evaluation.masks import cut
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import mean_height
from amask_solo.maskers import RandomMasker, random_blocks
from amask_solo.maskers.base import Masker
from amask_solo.rules import BETWEEN, PART, POSITIVE, listed, one_of, one_or_several, or_null, several, table, whole

SAME_AREA = 0.02
"""Areas that differ by no more are compared as the same."""


class Attack(Protocol):
    r"""Train fresh maskers against the frozen backbone, and measure the effect of the strongest one. Ours.

    A mask moves the embedding :math:`z` of an image to :math:`z_m`. Its *lift* is :math:`1 - \cos(z, z_m)`, 0 if
    nothing is hidden. The embedding is the output of the run's projector, or the features if there is no projector. An
    attacker hides a given share of each image in the mean color of the data set, with one mask. It learns on training
    images that are not augmented.

    The lift is similar to the game's loss, but has no negatives, no predictor and no second augmented view. It is
    therefore comparable between runs of all methods, masked or not, if all are attacked with the same ``area``;
    ``amask-compare`` attacks all with a quarter. By default, each run is attacked with the area of its own masks. This
    measures how far the game is from its best response, and is not comparable with other runs.

    A single kind of attacker may be weak, so there are networks of another kind than the run's own masker, and a search
    without gradients. The worst case is the accuracy on images that survive all of them.

    Args:
        steps: The number of steps that each attacker learns.
        restarts: The number of attackers of each network.
        area: The share of the image that they hide, in (0, 1); by default the mean area of the run's own masks, or a
            quarter if these hide nothing. If several areas are given, the first one has the plain names in the scores.
        networks: The networks of the attackers: ``unet``, ``patches``, or both.
        search: The number of random rectangles that are tried for each image; 0 for none.
        batch_size: Images per step.
        lr: The learning rate of AdamW.
        resolution: The share of height and width at which a U-Net works.
    """

    rules = table(
        steps=whole(1),
        restarts=whole(1),
        area=or_null(one_or_several(BETWEEN)),
        networks=several(one_of("unet", "patches")),
        search=whole(0),
        batch_size=whole(1),
        lr=POSITIVE,
        resolution=PART,
    )
    needs = ("validation",)
    words = table(
        acc1_attack="accuracy under the strongest mask", acc1_worst="accuracy in the worst case", gap="exploitability"
    )
    no_percent = ("lift*", "advantage*", "gap", "area")
    lower_is_better = ("lift", "lift_area*", "gap")
    shared = table(area=0.25)
    main = "acc1_attack"

    def __init__(
        self,
        *,
        steps: int = 120,
        restarts: int = 3,
        area: float | Sequence[float] | None = None,
        networks: Sequence[str] = ("unet",),
        search: int = 0,
        batch_size: int = 128,
        lr: float = 3e-3,
        resolution: float = 0.5,
    ) -> None:
        self.steps, self.restarts, self.area = steps, restarts, area
        self.networks, self.search = list(networks), search
        self.batch_size, self.lr, self.resolution = batch_size, lr, resolution

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return lifts and accuracies on the validation images.

        - ``lift``: the lift of the attacker that is the strongest on training images, with binary masks.
          ``lift_random``: that of random blocks of the same area. ``advantage`` is their ratio, and ``area`` the hidden
          share. With several networks, ``lift_unet`` and ``lift_patches`` belong to the strongest of each.
        - ``lift_own``, ``advantage_own``: the same for the run's own masks, unchanged and averaged, compared with
          random blocks of their areas; ``lift_own_1`` ... by mask. ``gap`` is ``lift / lift_own``, the exploitability:
          how far the game is from its best response, which is 1. There is none for another area than the run's.
        - ``acc1``, ``acc1_attack``, ``acc1_random``, ``acc1_own``: the accuracy of a linear probe, fitted on clean
          images, in percent, if both splits have labels. ``acc1_search`` counts images that are right under all tried
          rectangles, and ``acc1_worst`` those that are right under these and under every attacker.
        - With several areas, ``acc1_attack_area0.25`` and so on for each, and ``acc1_worst_curve``: the mean of
          ``acc1_worst`` while the hidden area grows from nothing to the largest.
        """
        pool = draw_pool(subject)
        own = _own_area(subject, pool)
        if not own:
            subject = replace(subject, masker=None)
        # A failed masker may hide everything or nothing, and an attack needs an area in between.
        first, *others = listed(self.area or min(max(own or self.shared["area"], 0.01), 0.99))
        probe = linear_probe(subject) if subject.classifiable else None
        found = self._against(subject, pool, probe, first)
        found |= {"area": first, "advantage": _over(found["lift"], found["lift_random"])}
        if "lift_own" in found:
            found["advantage_own"] = _over(found["lift_own"], found.pop("lift_own_random"))
            # Masks of another area move the embedding by more or less, however they are placed.
            if abs(first - own) <= SAME_AREA:
                found["gap"] = _over(found["lift"], found["lift_own"])
        if others:
            parts = {first: subject} | {area: replace(subject, masker=None, right={}) for area in others}
            by_area = {first: found} | {area: self._against(parts[area], pool, probe, area) for area in others}
            found = found | {name: float(score) for name, score in _by_area(by_area).items()}
            subject.right |= _by_area({area: part.right for area, part in parts.items()})
        return found

    def _against(self, subject: Subject, pool: Pool, probe: nn.Module | None, area: float) -> dict[str, float]:
        """Return the scores for one area."""
        attackers = {name: list(self._attackers(subject, pool, name, area)) for name in self.networks}
        lifts = {attacker: strength(subject, pool, attacker) for some in attackers.values() for attacker in some}
        strongest = {name: max(some, key=lifts.__getitem__) for name, some in attackers.items()}
        best = max(strongest.values(), key=lifts.__getitem__)
        kinds = {"": best} | {f"_{name}": attacker for name, attacker in strongest.items() if len(strongest) > 1}
        return self._scores(subject, kinds, list(lifts), probe, area)

    def _attackers(self, subject: Subject, pool: Pool, network: str, area: float) -> Iterator[Masker]:
        for restart in range(self.restarts):
            subject.tell(f"{100 * area:.0f} % hidden, {network} {restart + 1} of {self.restarts}")
            # The initial weights are drawn from the global stream.
            with seeded(subject.seed * self.restarts + restart):
                shape = {"channels": len(subject.data.mean), "size": subject.data.image_size}
                attacker = make_attacker(network, area=area, resolution=self.resolution, **shape)
            yield train_attacker(
                attacker, subject, pool, restart=restart, steps=self.steps, batch_size=self.batch_size, lr=self.lr
            )

    @torch.no_grad()
    def _scores(
        self,
        subject: Subject,
        named: dict[str, Masker],
        attackers: Sequence[Masker],
        probe: nn.Module | None,
        area: float,
    ) -> dict[str, float]:
        """Return the lifts and accuracies for all kinds of masks."""
        images = subject.images("val") if probe is None else subject.labeled("val")
        totals: dict[str, float] = defaultdict(float)
        rights: dict[str, list[Tensor]] = defaultdict(list)
        for step, (pixels, labels) in enumerate(subject.batches(images)):
            views = subject.view(pixels)
            draw = partial(stream, seed=subject.seed, rank=0, step=step, device=views.device)
            found: dict[str, Tensor] = {}
            kinds = _kinds(subject, named, views, draw("attack/masks"))
            for name, value in _batch(subject, views, kinds, probe, labels):
                totals[name] += float(value.sum()) / len(images)
                found[name] = found.get(name, 0) + value / 100
            if probe is not None:
                survive = partial(survivors, subject, views, probe, labels)
                random, generator = RandomMasker(area=area), draw("attack/search")
                rectangles = (random(views, generator=generator) for _ in range(self.search))
                left = {"acc1_search": survive(rectangles, right=found["acc1"] > 0)} if self.search else {}
                masks = (cut(attacker(views)).to(views.dtype) for attacker in attackers)
                left["acc1_worst"] = survive(masks, right=left.get("acc1_search", found["acc1"] > 0))
                for name, right in left.items():
                    totals[name] += 100 * float(right.sum()) / len(images)
                found |= left
            for name in [name for name in found if name.startswith("acc1")]:
                rights[name].append(found[name])
        subject.right |= {name: torch.cat(parts) for name, parts in rights.items()}
        return dict(totals)


def _by_area(found: Mapping[float, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of several areas, or which images they count as right, under distinct names."""
    kinds = ("lift", "acc1_random", "acc1_attack", "acc1_search", "acc1_worst")
    named = {f"{kind}_area{a:g}": scores[kind] for a, scores in found.items() for kind in kinds if kind in scores}
    worst = {area: scores["acc1_worst"] for area, scores in found.items() if "acc1_worst" in scores}
    if worst:
        clean = next(iter(found.values()))["acc1"]
        named["acc1_worst_curve"] = mean_height({0.0: clean} | worst)
    return named


@torch.no_grad()
def _own_area(subject: Subject, pool: Pool) -> float:
    """Return the mean area of the run's masks; 0 if there are none."""
    if subject.masker is None:
        return 0.0
    draw = stream("attack/area", seed=subject.seed, rank=0, step=0, device=subject.device)
    masks = subject.masker(subject.view(pool.pixels[: subject.batch_size]), generator=draw)
    return masks.float().mean().item()


def _kinds(subject: Subject, named: dict[str, Masker], views: Images, draw: torch.Generator) -> dict[str, Masks]:
    """Return the suffix of the scores -> the masks."""
    kinds = {name: cut(attacker(views)).float() for name, attacker in named.items()}
    kinds["_random"] = random_blocks(kinds[""], generator=draw)
    if subject.masker is not None:
        own = subject.masker(views, generator=draw).float()
        kinds |= {"_own": own, "_own_random": random_blocks(own, generator=draw)}
    return kinds


def _batch(
    subject: Subject, views: Images, kinds: dict[str, Masks], probe: nn.Module | None, labels: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Yield the scores of the images of a batch, which add up over the masks of a kind to their mean."""
    clean = encode(subject, views)
    if probe:
        yield "acc1", 100.0 * (probe(clean).argmax(dim=1) == labels)
    for name, masks in kinds.items():
        # The masks of the channels are one occlusion, as in training.
        together = name.startswith("_own") and subject.masker is not None and subject.masker.channelwise
        shown = [masks] if together else masks.split(1, dim=1)
        for n, mask in enumerate(shown, start=1):
            features = encode(subject, hide(views, mask))
            moved = lift(embed(subject, clean), embed(subject, features))
            yield f"lift{name}", moved / len(shown)
            if name == "_own":
                yield f"lift_own_{n}", moved
            if probe and name in ("", "_random", "_own"):
                right = probe(features).argmax(dim=1) == labels
                yield f"acc1{name or '_attack'}", 100.0 * right / len(shown)


def _over(moved: float, other: float) -> float:
    # If nothing moves, the cosine is 1 up to rounding.
    return moved / other if other > 1e-6 else float("nan")
