"""Attackers: networks of several kinds, trained by gradient, and a random search."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo._types import Images, OneMask
from amask_solo.data.base import Pixels
from amask_solo.evaluation.masks import cut
from amask_solo.evaluation.protocol import Subject
from amask_solo.maskers import PatchHead, RandomMasker, SimultaneousMasker, UNet
from amask_solo.maskers.base import Masker
from amask_solo.occlusion import occlude
from amask_solo.projections import AreaBudget

POOL = 2048
"""The number of random training images on which attackers are trained and selected."""

PATCHES = 8
"""The number of patches along a side of an attacker's grid."""

Embedding = Float[Tensor, "b d"]
"""Views in the space in which the run's loss compares them."""

Right = Bool[Tensor, " b"]
"""Which images are classified correctly."""

Correct = Callable[[Images, Tensor], Right]
"""Takes views and their places in a batch, and returns which ones are classified correctly."""


@dataclass
class Pool:
    """The images that attackers learn from.

    Attributes:
        pixels: Training images.
        clean: The embedding of each image with nothing hidden.
    """

    pixels: Pixels
    clean: Embedding

    @classmethod
    @torch.no_grad()
    def of(cls, subject: Subject) -> "Pool":
        """Draw the images, and embed them once, since they are not augmented."""
        images = subject.images("train")
        draw = stream("attack/pool", seed=subject.seed, rank=0, step=0, device="cpu")
        pixels = images.select(torch.randperm(len(images), generator=draw)[:POOL]).stack()
        parts = [embed(subject, encode(subject, subject.view(part))) for part in pixels.split(subject.batch_size)]
        return cls(pixels, torch.cat(parts))


def encode(subject: Subject, views: Images) -> Float[Tensor, "b features"]:
    """Return features that are differentiable in the views."""
    return subject.backbone(views).float()


def embed(subject: Subject, features: Float[Tensor, "b features"]) -> Embedding:
    """Return the embeddings by the run's projector, or the features if there is no projector."""
    return features if subject.head is None else subject.head(features)


def lift(clean: Embedding, hidden: Embedding) -> Float[Tensor, " b"]:
    """Return the lift of each embedding: one minus the cosine."""
    return 1 - F.cosine_similarity(clean, hidden, dim=1)


def hide(views: Images, mask: OneMask) -> Images:
    """Hide a part of normalized views in the mean color of the data set."""
    return occlude(views, mask, torch.zeros_like(views))


def make_attacker(network: str, *, area: float, size: int, resolution: float) -> Masker:
    """Build a masker that hides a given share of each image by one mask.

    Args:
        network: ``unet``, the default network of maskers, or ``patches``, a small transformer over a grid of 8 x 8
            patches that gives all pixels of a patch the same score.
        area: The hidden share.
        size: Height and width of the views.
        resolution: The share of height and width at which a U-Net works.
    """
    if network == "unet":
        return SimultaneousMasker(1, network=UNet, projection=AreaBudget(area), resolution=resolution)
    patches = partial(PatchHead, patch_size=max(1, size // PATCHES))
    return SimultaneousMasker(1, network=patches, projection=AreaBudget(area), resolution=1.0)


def train_attacker(
    attacker: Masker, subject: Subject, pool: Pool, *, steps: int, batch_size: int, lr: float, restart: int
) -> Masker:
    """Train a masker to move the embeddings of a frozen backbone.

    Args:
        attacker: The masker, with fresh weights.
        subject: The subject with the backbone, whose parameters get no gradient.
        pool: The images to learn from.
        steps: The number of steps.
        batch_size: Images per step.
        lr: The learning rate of AdamW.
        restart: The number of the attempt, which determines the batches.

    Returns:
        The masker, in evaluation mode.
    """
    attacker.to(subject.device)
    learned = list(attacker.parameters())
    optimizer = torch.optim.AdamW(learned, lr=lr)
    draw = stream("attack/batches", seed=subject.seed, rank=0, step=restart, device="cpu")
    for _ in range(steps):
        picks = torch.randint(len(pool.pixels), (batch_size,), generator=draw)
        views = subject.view(pool.pixels[picks])
        with torch.enable_grad():
            moved = embed(subject, encode(subject, hide(views, attacker(views))))
            gain = lift(pool.clean[picks.to(pool.clean.device)], moved).mean()
        for parameter, gradient in zip(learned, torch.autograd.grad(-gain, learned), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return attacker.eval()


@torch.no_grad()
def strength(subject: Subject, pool: Pool, attacker: Masker) -> float:
    """Return the mean lift of an attacker's binary masks on training images."""
    total = 0.0
    for pixels, clean in zip(*(part.split(subject.batch_size) for part in (pool.pixels, pool.clean)), strict=True):
        views = subject.view(pixels)
        hidden = hide(views, cut(attacker(views)).float())
        total += float(lift(clean, embed(subject, encode(subject, hidden))).sum())
    return total / len(pool.pixels)


def random_tries(views: Images, *, area: float, tries: int, generator: torch.Generator) -> Iterator[OneMask]:
    """Yield one random rectangle for each image, as often as ``tries`` says: a search without gradients."""
    masker = RandomMasker(area=area)
    for _ in range(tries):
        yield masker(views, generator=generator)


def left_right(
    views: Images, correct: Correct, attackers: Iterable[Masker], *, area: float, tries: int, generator: torch.Generator
) -> dict[str, Right]:
    """Return which images are right under all of a number of random rectangles, and also under all attackers.

    Args:
        views: The images.
        correct: As in :func:`survivors`.
        attackers: Their masks are made binary.
        area: The share of an image that a rectangle hides.
        tries: How many rectangles; 0 leaves them out, and ``acc1_search`` with them.
        generator: Of the rectangles.

    Returns:
        ``acc1_search`` and ``acc1_worst``.
    """
    found = {}
    right = correct(views, torch.arange(len(views), device=views.device))
    if tries:
        rectangles = random_tries(views, area=area, tries=tries, generator=generator)
        found["acc1_search"] = right = survivors(views, right, rectangles, correct)
    masks = (cut(attacker(views)).to(views.dtype) for attacker in attackers)
    return found | {"acc1_worst": survivors(views, right, masks, correct)}


def survivors(views: Images, right: Right, masks: Iterator[OneMask], correct: Correct) -> Right:
    """Return which images are classified correctly under all masks; wrong ones are not tried again.

    Args:
        views: The images.
        right: Which images are right so far.
        masks: Several batches of one mask for each image.
        correct: Of the batch.
    """
    left = right.nonzero()[:, 0]
    for mask in masks:
        if not len(left):
            break
        left = left[correct(hide(views[left], mask[left]), left)]
    return torch.zeros_like(right).index_fill(0, left, value=True)


def classifies(subject: Subject, probe: nn.Module, labels: Tensor) -> Correct:
    """Return the argument ``correct`` of :func:`survivors` for a probe on a batch with these labels."""
    return lambda views, places: probe(encode(subject, views)).argmax(dim=1) == labels[places]
