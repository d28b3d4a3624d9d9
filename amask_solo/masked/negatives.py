"""The host's loss with one more logit for each query: its hard negative."""

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
    """Raise an error if a method cannot have hard negatives.

    Raises:
        UserError: If its loss has no logits, or there are other than two views, so that a query has several keys.
    """
    contrastive_loss(model.stock)
    crops = model.cfg.data.num_large_crops, model.cfg.data.num_small_crops
    if crops != (2, 0):
        raise UserError(
            f"adversary.negatives takes exactly two views, but augmentations make {sum(crops)}; change num_crops."
        )


def with_negatives(model: Any, clean: Views, batch_idx: int) -> Callable[[], AbstractContextManager[None]]:
    """Return contexts in which each call of the host's loss has the hard negatives of a batch.

    They are made once, at first use: then the host has encoded its own views, and autocast remembers its weights as it
    needs them, with a gradient.

    Args:
        model: The masked method.
        clean: The clean views of the batch.
        batch_idx: Its number in the epoch.
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
    """Return what the method compares its queries with, of some images: by the teacher, where there is one.

    It is normalized, has no graph and leaves no trace; the networks are in training mode, as for the keys.
    """
    host, teacher = load_host(), hasattr(model, "momentum_projector")
    backbone = getattr(model, host.momentum_backbone if teacher else host.backbone)
    projector = model.momentum_projector if teacher else model.projector
    with torch.no_grad(), quiet(model):
        return F.normalize(projector(backbone(images)), dim=1)
