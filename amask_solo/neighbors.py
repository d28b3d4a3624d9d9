"""Nearest neighbors in feature space, and their votes."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

EPS = 1e-5
"""Keeps the weight of a neighbor at distance 0 finite; solo-learn's."""


def nearest(
    train_features: Float[Tensor, "n d"],
    test_features: Float[Tensor, "m d"],
    k: int,
    *,
    distance: str = "cosine",
    chunk: int = 1024,
) -> Iterator[tuple[Float[Tensor, "c k"], Int[Tensor, "c k"]]]:
    """Yield the closeness of the ``k`` nearest training features in falling order, and their indexes.

    The closeness is the cosine of the angle, or the negative distance with ``distance="euclidean"``. A ``chunk`` of the
    queries is compared at a time, so the memory is bounded by ``chunk * n``.
    """
    bank, queries = train_features.float(), test_features.float()
    if distance == "cosine":
        bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    for part in queries.split(chunk):
        closeness = part @ bank.T if distance == "cosine" else -torch.cdist(part, bank)
        yield closeness.topk(min(k, len(bank)), dim=1)


def cosine_weights(similarity: Float[Tensor, "m k"], temperature: float) -> Float[Tensor, "m k"]:
    r"""Return the weights of the votes, :math:`\exp(s / \tau)`, scaled so that the nearest neighbor has weight 1.

    The common factor changes no decision and keeps the exponential from overflowing.
    """
    return ((similarity - similarity[:, :1]) / temperature).exp()


def distance_weights(closeness: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
    """Return the weights of the votes by negative Euclidean distances: their inverse, as in solo-learn."""
    return 1 / (EPS - closeness)


def votes(
    weights: Float[Tensor, "m k"], labels: Int[Tensor, "m k"], *, num_classes: int
) -> Float[Tensor, "m {num_classes}"]:
    """Return the sum of the neighbors' weights for each class."""
    return weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels, weights)
