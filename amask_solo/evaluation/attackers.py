"""Attackers: networks of several kinds, trained by gradient, and what survives them."""

import warnings
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo._types import Images, Masks, OneMask
from amask_solo.data.base import Pixels
from amask_solo.evaluation.classifier import DIVERGED, check_finite
from amask_solo.evaluation.masks import cut
from amask_solo.evaluation.protocol import BROKEN, Subject, finite
from amask_solo.maskers import PatchHead, SimultaneousMasker, UNet
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


class Pool(NamedTuple):
    """The training images that attackers learn from, and the embedding of each with nothing hidden."""

    pixels: Pixels
    clean: Embedding


@torch.no_grad()
def draw_pool(subject: Subject) -> Pool:
    """Draw the images, and embed them once, since they are not augmented."""
    if subject.head is None:
        warnings.warn(
            "The run has no projector that can be built again, so lifts and exploitability are those of the backbone's "
            "features: do not compare them with those of embeddings.",
            stacklevel=3,
        )
    images = subject.images("train")
    draw = stream("attack/pool", seed=subject.seed, rank=0, step=0, device="cpu")
    pixels = images.select(torch.randperm(len(images), generator=draw)[:POOL]).stack()
    parts = [embed(subject, encode(subject, subject.view(part))) for part in pixels.split(subject.batch_size)]
    return Pool(pixels, finite(torch.cat(parts), BROKEN))


def encode(subject: Subject, views: Images) -> Float[Tensor, "b features"]:
    """Return features that are differentiable in the views."""
    return subject.backbone(views).float()


def embed(subject: Subject, features: Float[Tensor, "b features"]) -> Embedding:
    """Return the embeddings by the run's projector, or the features if there is no projector."""
    return features if subject.head is None else subject.head(features)


def lift(clean: Embedding, hidden: Embedding) -> Float[Tensor, " b"]:
    """Return the lift of each embedding: one minus the cosine."""
    return 1 - F.cosine_similarity(clean, hidden, dim=1)


def hide(views: Images, mask: Masks) -> Images:
    """Hide a part of normalized views in the mean color of the data set; several masks are those of the channels."""
    return occlude(views, mask, torch.zeros_like(views), channelwise=mask.shape[1] > 1)


def make_attacker(network: str, *, area: float, channels: int, size: int, resolution: float) -> Masker:
    """Build a masker that hides a given share of each image by one mask, for views of ``size`` pixels.

    Its network is ``unet``, the default network of maskers, which works at a share of height and width; or ``patches``,
    a small transformer over a grid of 8 x 8 patches that gives all pixels of a patch the same score.
    """
    if network == "unet":
        return SimultaneousMasker(
            1, network=UNet, projection=AreaBudget(area), channels=channels, resolution=resolution
        )
    patches = partial(PatchHead, patch_size=max(1, size // PATCHES))
    return SimultaneousMasker(1, network=patches, projection=AreaBudget(area), channels=channels, resolution=1.0)


def train_attacker(
    attacker: Masker, subject: Subject, pool: Pool, *, steps: int, batch_size: int, lr: float, restart: int
) -> Masker:
    """Train a fresh masker by AdamW to move the embeddings of a frozen backbone, and return it in evaluation mode.

    The number of the ``restart`` determines the batches.

    Raises:
        UserError: If its weights are not finite at the end.
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
        # The backbone's parameters get no gradient.
        for parameter, gradient in zip(learned, torch.autograd.grad(-gain, learned), strict=True):
            parameter.grad = gradient
        optimizer.step()
    check_finite(attacker, DIVERGED)
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


def survivors(
    subject: Subject, views: Images, probe: nn.Module, labels: Tensor, masks: Iterable[OneMask], *, right: Right
) -> Right:
    """Return which of the images that are right so far stay so under all masks; wrong ones are not tried again."""
    left = right.nonzero()[:, 0]
    for mask in masks:
        if not len(left):
            break
        features = encode(subject, hide(views[left], mask[left]))
        left = left[probe(features).argmax(dim=1) == labels[left]]
    return torch.zeros_like(right).index_fill(0, left, value=True)
