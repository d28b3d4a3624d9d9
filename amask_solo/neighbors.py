"""The nearest neighbors of features, and their votes."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def nearest(
    train_features: Float[Tensor, "n d"],
    test_features: Float[Tensor, "m d"],
    k: int,
    *,
    distance: str = "cosine",
    chunk: int = 1024,
) -> Iterator[tuple[Float[Tensor, "c k"], Int[Tensor, "c k"]]]:
    """Yield how close the nearest training features are, in falling order, and their indexes, for each chunk.

    Args:
        train_features: What is searched.
        test_features: Whose neighbors are looked for.
        k: How many; all of them if there are fewer.
        distance: ``"cosine"``: the similarity is yielded; ``"euclidean"``: the distance, below zero.
        chunk: How many test features are compared at a time; bounds the memory at ``chunk * n``.
    """
    bank, queries = train_features.float(), test_features.float()
    if distance == "cosine":
        bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    for part in queries.split(chunk):
        closeness = part @ bank.T if distance == "cosine" else -torch.cdist(part, bank)
        yield closeness.topk(min(k, len(bank)), dim=1)


def cosine_weights(similarity: Float[Tensor, "m k"], temperature: float) -> Float[Tensor, "m k"]:
    r"""Return with what weight neighbors vote, :math:`\exp(s / \tau)` but for a factor: that of the nearest is 1.

    One factor for all votes changes no decision and keeps the exponential from overflowing.
    """
    return ((similarity - similarity[:, :1]) / temperature).exp()


def votes(
    weights: Float[Tensor, "m k"], labels: Int[Tensor, "m k"], *, num_classes: int
) -> Float[Tensor, "m {num_classes}"]:
    """Return how strongly neighbors of these labels vote for each class."""
    return weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels, weights)
