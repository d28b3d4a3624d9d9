"""The worst that a mask can do to a frozen backbone, and how far the run's own masker is from it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo._types import Images, Masks, OneMask
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.masks import cut
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.maskers import SimultaneousMasker, random_blocks
from amask_solo.maskers.base import Masker
from amask_solo.occlusion import occlude
from amask_solo.projections import AreaBudget
from amask_solo.rules import BETWEEN, PART, POSITIVE, or_null, table, whole

POOL = 2048
"""So many training images, drawn at random, train the attackers and choose among them."""

Embedding = Float[Tensor, "b d"]
"""Views in the space where they are compared."""


class Attack(Protocol):
    r"""Train fresh maskers against the frozen backbone, keep the strongest, and see what it does. Ours.

    A mask moves the embedding :math:`z` of an image: its *lift* is :math:`1 - \cos(z, z_m)`, 0 if nothing is hidden.
    The embedding is that of the run's projector, if it has one, else the features themselves. An attacker hides a given
    share of each image in the mean color of the data set, by one mask; it learns on training images that are not
    augmented.

    The lift is close to the game's loss, but not the same: there are no negatives, no predictor and no second
    augmented view in it. That makes it comparable between runs, of all methods, masked or not, if all are attacked
    with the same ``area``: so ``amask-compare`` attacks all with a quarter. By default each run is attacked with the
    area of its own masks, which says how far the game is from its best response, and compares with no other run.

    Args:
        steps: How long each attacker learns.
        restarts: How many there are; the one with the highest lift on training images is kept.
        area: The share of the image that it hides, in (0, 1); the mean of the run's own masks by default, or a quarter
            if it has none that hide anything.
        batch_size: Images a step.
        lr: Of AdamW.
        resolution: The share of height and width that the attacker works at.

    Raises:
        ValueError: If a number is out of range.
    """

    rules = table(
        steps=whole(1), restarts=whole(1), area=or_null(BETWEEN), batch_size=whole(1), lr=POSITIVE, resolution=PART
    )
    words = table(acc1_attack="accuracy under the strongest mask")
    shared = table(area=0.25)

    def __init__(
        self,
        *,
        steps: int = 120,
        restarts: int = 3,
        area: float | None = None,
        batch_size: int = 128,
        lr: float = 3e-3,
        resolution: float = 0.5,
    ) -> None:
        self.steps, self.restarts, self.area = steps, restarts, area
        self.batch_size, self.lr, self.resolution = batch_size, lr, resolution

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return lifts and accuracies on the validation images.

        - ``lift``, ``lift_random``: of the attack, its masks made binary, and of random blocks of the same area;
          ``advantage`` is their ratio. ``area`` is the hidden share.
        - ``lift_own``, ``advantage_own``: the same of the run's masks as they are, mean over them, beside random blocks
          of their areas; ``lift_own_1`` ... by mask. ``gap`` is ``lift / lift_own``: how far the game is from its best
          response, 1 if it is there.
        - ``acc1``, ``acc1_attack``, ``acc1_random``, ``acc1_own``: of the linear probe, fitted on clean images, in
          percent, where there are labels.
        """
        pool = _pool(subject)
        own = _own_area(subject, pool)
        if not own:
            subject = replace(subject, masker=None)
        # A masker that has given up hides all: there is no attack of that area.
        area = self.area or min(max(own or self.shared["area"], 0.01), 0.99)
        attackers = []
        for restart in range(self.restarts):
            subject.tell(f"attacker {restart + 1} of {self.restarts}")
            attackers.append(self._train(subject, pool, area, restart))
        best = max(attackers, key=lambda attacker: _strength(subject, pool, attacker))
        found = _scores(subject, best)
        found |= {"area": area, "advantage": _over(found["lift"], found["lift_random"])}
        if "lift_own" in found:
            found["advantage_own"] = _over(found["lift_own"], found.pop("lift_own_random"))
            found["gap"] = _over(found["lift"], found["lift_own"])
        return found

    def _train(self, subject: Subject, pool: Tensor, area: float, restart: int) -> Masker:
        # The first weights come from the global stream.
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(subject.seed * self.restarts + restart)
            attacker = SimultaneousMasker(1, projection=AreaBudget(area), resolution=self.resolution)
        attacker.to(subject.device)
        learned = list(attacker.parameters())
        optimizer = torch.optim.AdamW(learned, lr=self.lr)
        draw = stream("attack/batches", seed=subject.seed, rank=0, step=restart, device="cpu")
        for _ in range(self.steps):
            views = subject.view(pool[torch.randint(len(pool), (self.batch_size,), generator=draw)])
            with torch.no_grad():
                clean = _embed(subject, _features(subject, views))
            with torch.enable_grad():
                moved = _embed(subject, _features(subject, _hidden(views, attacker(views))))
                lift = _lift(clean, moved).mean()
            # No gradient reaches the backbone's own.
            for parameter, gradient in zip(learned, torch.autograd.grad(-lift, learned), strict=True):
                parameter.grad = gradient
            optimizer.step()
        return attacker.eval()


def _features(subject: Subject, views: Images) -> Float[Tensor, "b features"]:
    return subject.backbone(views).float()


def _embed(subject: Subject, features: Float[Tensor, "b features"]) -> Embedding:
    return features if subject.head is None else subject.head(features)


def _lift(clean: Embedding, hidden: Embedding) -> Float[Tensor, " b"]:
    return 1 - F.cosine_similarity(clean, hidden, dim=1)


def _hidden(views: Images, mask: OneMask) -> Images:
    return occlude(views, mask, torch.zeros_like(views))


def _pool(subject: Subject) -> Tensor:
    images = subject.images("train")
    draw = stream("attack/pool", seed=subject.seed, rank=0, step=0, device="cpu")
    return images.select(torch.randperm(len(images), generator=draw)[:POOL]).stack()


@torch.no_grad()
def _own_area(subject: Subject, pool: Tensor) -> float:
    """Return the mean area of the run's masks, 0 if there are none."""
    if subject.masker is None:
        return 0.0
    draw = stream("attack/area", seed=subject.seed, rank=0, step=0, device=subject.device)
    masks = subject.masker(subject.view(pool[: subject.batch_size]), generator=draw)
    return masks.float().mean().item()


@torch.no_grad()
def _strength(subject: Subject, pool: Tensor, attacker: Masker) -> float:
    """Return the mean lift of an attacker's binary masks on training images."""
    total = 0.0
    for pixels in pool.split(subject.batch_size):
        views = subject.view(pixels)
        kinds = {"": cut(attacker(views)).float()}
        total += sum(value for _, value in _batch(subject, views, kinds, hits=None))
    return total / len(pool)


@torch.no_grad()
def _scores(subject: Subject, attacker: Masker) -> dict[str, float]:
    """Return lifts and accuracies of all kinds of masks."""
    labeled = subject.data.labeled
    probe = Linear().fit(subject) if labeled else None
    images = subject.labeled("val") if labeled else subject.images("val")
    totals: dict[str, float] = defaultdict(float)
    for step, (pixels, labels) in enumerate(subject.batches(images)):
        views = subject.view(pixels)
        draw = stream("attack/masks", seed=subject.seed, rank=0, step=step, device=views.device)
        for name, value in _batch(subject, views, _kinds(subject, attacker, views, draw), _hits(probe, labels)):
            totals[name] += value / len(images)
    return dict(totals)


Hits = Callable[[Tensor], float] | None
"""How many features the probe classifies correctly."""


def _hits(probe: nn.Module | None, labels: Tensor) -> Hits:
    return probe and (lambda features: float((probe(features).argmax(dim=1) == labels).sum()))


def _kinds(subject: Subject, attacker: Masker, views: Images, draw: torch.Generator) -> dict[str, Masks]:
    """Return masks by the suffix of their scores."""
    attack = cut(attacker(views)).float()
    kinds = {"": attack, "_random": random_blocks(attack, generator=draw)}
    if subject.masker is not None:
        own = subject.masker(views, generator=draw).float()
        kinds |= {"_own": own, "_own_random": random_blocks(own, generator=draw)}
    return kinds


def _batch(subject: Subject, views: Images, kinds: dict[str, Masks], hits: Hits) -> Iterator[tuple[str, float]]:
    """Yield the scores of a batch, summed over its images and averaged over the masks of a kind."""
    clean = _features(subject, views)
    if hits:
        yield "acc1", 100 * hits(clean)
    for name, masks in kinds.items():
        for n, mask in enumerate(masks.split(1, dim=1), start=1):
            features = _features(subject, _hidden(views, mask))
            lift = float(_lift(_embed(subject, clean), _embed(subject, features)).sum())
            yield f"lift{name}", lift / masks.shape[1]
            if name == "_own":
                yield f"lift_own_{n}", lift
            if hits and name != "_own_random":
                yield f"acc1{name or '_attack'}", 100 * hits(features) / masks.shape[1]


def _over(lift: float, other: float) -> float:
    # Where nothing moves, the cosine is one up to rounding.
    return lift / other if other > 1e-6 else float("nan")
