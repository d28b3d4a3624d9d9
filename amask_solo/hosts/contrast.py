"""The logits of the host's contrastive losses, read from the calls of these losses in a training step."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import Scalar
from amask_solo.hosts.calls import replaced
from amask_solo.hosts.methods import ancestors
from amask_solo.hosts.refusals import no_logits

Embeddings = Float[Tensor, "n d"]
"""Outputs of the projector (or predictor)."""

Gather = Callable[[Tensor], Tensor]
"""Concatenates the tensors of all processes as the host's loss does; in the release, returns its argument."""


class Contrast(NamedTuple):
    """One call of a contrastive loss as a cross-entropy.

    Attributes:
        queries: The normalized embeddings with a gradient, one for each row of logits.
        logits: The similarities of each row to all keys, divided by the temperature.
        scale: The factor on the mean over the rows.
    """

    queries: Embeddings
    logits: Float[Tensor, "n m"]
    temperature: float
    scale: float = 1.0

    @property
    def partition(self) -> Float[Tensor, " n"]:
        """The log-sum-exp of each row."""
        return self.logits.logsumexp(dim=1)


def _simclr(gather: Gather, *views: Embeddings, temperature: float, **_: Any) -> Contrast:
    # The current host passes both views as one tensor, the release as two.
    own = F.normalize(torch.cat(views), dim=-1)
    everything = gather(own)
    before = len(own) * torch.distributed.get_rank() if len(everything) > len(own) else 0
    itself = torch.arange(before, before + len(own), device=own.device)[:, None]
    return Contrast(own, (own @ everything.T / temperature).scatter(1, itself, -torch.inf), temperature)


def _moco(_: Gather, query: Embeddings, key: Embeddings, queue: Float[Tensor, "d m"], temperature: float) -> Contrast:
    # The queue holds the keys of all processes.
    similarities = torch.cat([(query * key).sum(dim=1, keepdim=True), query @ queue], dim=1)
    return Contrast(query, similarities / temperature, temperature)


def _mocov3(gather: Gather, query: Embeddings, key: Embeddings, temperature: float) -> Contrast:
    query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
    return Contrast(query, query @ gather(key).T / temperature, temperature, scale=2 * temperature)


def _nnclr(gather: Gather, nn: Embeddings, p: Embeddings, temperature: float) -> Contrast:
    # The rows are the neighbors of the keys in the queue, without a gradient. The prediction has one: it is the query.
    query = F.normalize(p, dim=-1)
    return Contrast(query, F.normalize(nn, dim=-1) @ gather(query).T / temperature, temperature)


READERS: dict[str, tuple[Callable[..., Contrast], tuple[tuple[int, ...], ...]]] = {
    "simclr_loss_func": (_simclr, ((1, 0),)),
    "moco_loss_func": (_moco, ((1,), (0,))),
    "mocov2plus_loss_func": (_moco, ((1,), (0,))),
    "mocov3_loss_func": (_mocov3, ((1,), (0,))),
    "nnclr_loss_func": (_nnclr, ((0,), (1,))),
}
"""The name of the host's loss function -> what makes a contrast of its arguments; and for each call in a training step,
the indexes of the views that the keys come from, in the order of the rows. The steps are symmetric in their two views.
"""

Added = Callable[[Contrast, tuple[int, ...]], Scalar]
"""Returns the term to add to one call of a loss; takes the contrast and the indexes of the views of its keys."""


def adding(method: type, added: Added) -> AbstractContextManager[None]:
    """Add a term to each call of a method's contrastive loss while the context lasts.

    Raises:
        UserError: If the method is not contrastive, or its training step calls the loss another number of times.
    """
    module, name = contrastive_loss(method)
    read, keys = READERS[name]
    source = vars(sys.modules[getattr(module, name).__module__])
    gather = source.get("gather") or source.get("concat_all_gather_no_grad") or (lambda own: own)

    def longer(views: tuple[int, ...], loss: Callable[..., Scalar], *args: Any, **kwargs: Any) -> Scalar:
        extra = added(read(gather, *args, **kwargs), views)
        return loss(*args, **kwargs) + extra

    calls = [partial(longer, views) for views in keys]
    return replaced(method, (module, name), calls, unlike="unlike the host's own; leave adversary.negatives out.")


def contrastive_loss(method: type) -> tuple[Any, str]:
    """Return the module of a contrastive method, and the name of its loss there; raise a ``UserError`` for others."""
    for ancestor, row in ancestors(method):
        module = sys.modules[ancestor.__module__]
        for name in row.contrast:
            if hasattr(module, name):
                return module, name
    raise no_logits(method.__name__)
