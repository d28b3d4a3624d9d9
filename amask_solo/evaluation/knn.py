"""Nearest neighbors in feature space."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def weighted_knn(
    train_features: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test_features: Float[Tensor, "m d"],
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
    chunk: int = 1024,
) -> Int[Tensor, " m"]:
    r"""Classify by a vote of the ``k`` nearest training features, by cosine similarity.

    A neighbor of similarity :math:`s` votes with weight :math:`\exp(s / \tau)`.

    Args:
        train_features: One feature vector an image; their length does not matter.
        train_labels: Class ids from 0.
        test_features: What to classify.
        k: How many neighbors vote; all of them if there are fewer.
        temperature: The :math:`\tau` above; the lower, the more the nearest decide.
        num_classes: Number of classes; found in the labels by default, which waits for the device.
        chunk: How many test features are compared at a time; bounds the memory at ``chunk * n``.

    Returns:
        The predicted class of each test feature.

    Raises:
        ValueError: If ``k`` or ``temperature`` is not positive.

    Example:
        >>> train = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> weighted_knn(train, torch.tensor([0, 1]), torch.tensor([[0.9, 0.1], [0.0, 5.0]]), k=2)
        tensor([0, 1])

    References:
        Wu et al., `Unsupervised Feature Learning via Non-Parametric Instance Discrimination
        <https://arxiv.org/abs/1805.01978>`_, CVPR 2018.
    """
    if k < 1:
        raise ValueError(f"Expected k to be at least 1, but got {k}.")
    if temperature <= 0:
        raise ValueError(f"Expected temperature to be positive, but got {temperature}.")
    classes = int(train_labels.max()) + 1 if num_classes is None else num_classes
    bank = F.normalize(train_features.float(), dim=1)
    predictions = []
    for part in F.normalize(test_features.float(), dim=1).split(chunk):
        similarity, index = (part @ bank.T).topk(min(k, len(bank)), dim=1)
        # One factor for all votes changes no decision and keeps the exponential from overflowing.
        weight = ((similarity - similarity[:, :1]) / temperature).exp()
        votes = weight.new_zeros(len(part), classes).scatter_add_(1, train_labels[index], weight)
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions) if predictions else train_labels[:0]
