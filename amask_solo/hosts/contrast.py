"""What the contrastive losses of the host compare with what, without writing them a second time.

A loss function of the host is listened to while a training step runs: its arguments say what its logits are.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import Scalar
from amask_solo.errors import UserError
from amask_solo.hosts.methods import ancestors
from amask_solo.hosts.refusals import no_logits

Embeddings = Float[Tensor, "n d"]
"""Features behind the projector."""

Gather = Callable[[Tensor], Tensor]
"""Collects what all processes hold, as the host's loss does; or leaves it as it is, as the release does."""


class Contrast(NamedTuple):
    """One call of a contrastive loss, seen as a cross-entropy.

    Attributes:
        queries: Of each row of logits, normalized: what has a gradient.
        logits: Similarities over the temperature; of each row, one to each key.
        temperature: What similarities are divided by.
        scale: What the mean over the rows is multiplied by.
    """

    queries: Embeddings
    logits: Float[Tensor, "n m"]
    temperature: float
    scale: float = 1.0

    @property
    def partition(self) -> Float[Tensor, " n"]:
        """The logarithm of the sum over the exponentials of each row."""
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
    # The rows are the keys' neighbors in the queue, without a gradient: what learns, the query, is the prediction.
    query = F.normalize(p, dim=-1)
    return Contrast(query, F.normalize(nn, dim=-1) @ gather(query).T / temperature, temperature)


class Reader(NamedTuple):
    """How to read the calls of a loss function.

    Attributes:
        read: From its arguments to a contrast.
        keys: The views, from 0, that the keys of each call in a training step are of: as many as its rows have parts.
    """

    read: Callable[..., Contrast]
    keys: tuple[tuple[int, ...], ...]


READERS = {
    "simclr_loss_func": Reader(_simclr, ((1, 0),)),
    "moco_loss_func": Reader(_moco, ((1,), (0,))),
    "mocov2plus_loss_func": Reader(_moco, ((1,), (0,))),
    "mocov3_loss_func": Reader(_mocov3, ((1,), (0,))),
    "nnclr_loss_func": Reader(_nnclr, ((0,), (1,))),
}
"""By the name of the host's loss function; its training steps are symmetric in their two views."""

Added = Callable[[Contrast, tuple[int, ...]], Scalar]
"""What to add to a loss, from one call of it and the views that its keys are of."""


@contextmanager
def adding(method: type, added: Added) -> Iterator[None]:
    """Add something to each call of a method's contrastive loss for as long as the context lasts.

    The loss is a global name of the module in which the host wrote its training step, so it is exchanged there and put
    back at the end, whatever happens in between. There is no calmer way to what a training step keeps to itself: a copy
    of the step with other globals is not what ``super()`` finds in a user's subclass, an exchange for good would change
    the host for all others in the process, and to write the step a second time is what this package exists to avoid.

    Args:
        method: A contrastive method of the host, or a descendant of one.
        added: What to add.

    Raises:
        UserError: If the method is not contrastive, or its training step calls the loss another number of times.
    """
    module, name = contrastive_loss(method)
    loss, (read, keys) = getattr(module, name), READERS[name]
    source = vars(sys.modules[loss.__module__])
    gather = source.get("gather") or source.get("concat_all_gather_no_grad") or (lambda own: own)
    calls = 0

    def longer(*args: Any, **kwargs: Any) -> Scalar:
        nonlocal calls
        calls += 1
        extra = added(read(gather, *args, **kwargs), keys[calls - 1]) if calls <= len(keys) else 0
        return loss(*args, **kwargs) + extra

    setattr(module, name, longer)
    try:
        yield
    finally:
        setattr(module, name, loss)
    if calls != len(keys):
        raise UserError(
            f"The training step of {method.__name__} called {name} {calls} times, unlike the host's own; leave "
            "adversary.negatives out."
        )


def contrastive_loss(method: type) -> tuple[Any, str]:
    """Return the module of a contrastive method and the name that its loss has there.

    Raises:
        UserError: If it is none.
    """
    for ancestor, row in ancestors(method):
        module = sys.modules[ancestor.__module__]
        for name in row.contrast:
            if hasattr(module, name):
                return module, name
    raise no_logits(method.__name__)
