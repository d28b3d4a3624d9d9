"""Add a hard negative to each query of the host's contrastive loss, as one more logit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch.nn import functional as F

from amask_solo._types import Images, Scalar, Views
from amask_solo.errors import UserError
from amask_solo.game.negatives import one_more_logit
from amask_solo.hosts.contrast import Contrast, Embeddings, adding, contrastive_loss
from amask_solo.hosts.installed import load_host
from amask_solo.masked.side_effects import quiet


def refuse_negatives(model: Any) -> None:
    """Raise a ``UserError`` if a method's loss has no logits, or if it does not have exactly two views.

    With more views, a query has several keys.
    """
    contrastive_loss(model.stock)
    crops = model.cfg.data.num_large_crops, model.cfg.data.num_small_crops
    if crops != (2, 0):
        raise UserError(
            f"adversary.negatives takes exactly two views, but augmentations make {sum(crops)}; change num_crops."
        )


def with_negatives(model: Any, clean: Views, batch_idx: int) -> Callable[[], AbstractContextManager[None]]:
    """Return a factory of contexts in which each call of the host's loss includes the hard negatives of a batch.

    The negatives are made once, at their first use. By then the host has encoded its own views, so that autocast has
    cached the weights with a gradient, as the host needs them.
    """
    game = model.adversary.game
    if game.negatives is None:
        return nullcontext
    generator = model.random_stream("negatives", batch_idx)

    @cache
    def hard(number: int) -> Embeddings:
        return embed(model, game.negatives.views(clean[number], game.fill, generator=generator))

    def added(contrast: Contrast, keys: tuple[int, ...]) -> Scalar:
        similarity = (contrast.queries * torch.cat([hard(number) for number in keys])).sum(dim=1)
        logits = game.negatives.weight * similarity / contrast.temperature
        return contrast.scale * one_more_logit(logits, contrast.partition)

    return partial(adding, model.stock, added)


def embed(model: Any, images: Images) -> Embeddings:
    """Return the normalized embeddings of images as keys: from the teacher if there is one, without a graph.

    The networks are in training mode, as for the keys, but there are no side effects.
    """
    host, teacher = load_host(), hasattr(model, "momentum_projector")
    backbone = getattr(model, host.momentum_backbone if teacher else host.backbone)
    projector = model.momentum_projector if teacher else model.projector
    with torch.no_grad(), quiet(model):
        return F.normalize(projector(backbone(images)), dim=1)
