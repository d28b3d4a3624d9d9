"""Nearest neighbors in feature space."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import accuracy, hold_out
from amask_solo.neighbors import cosine_weights, nearest, votes
from amask_solo.rules import POSITIVE, check_values, one_or_several, table, whole

Setting = tuple[int, float]
"""How many neighbors vote, and the temperature of their votes."""


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
    setting = (k, temperature)
    classes = int(train_labels.max()) + 1 if num_classes is None else num_classes
    train = (train_features, train_labels)
    return _predictions(train, test_features, [setting], num_classes=classes, chunk=chunk)[setting]


def _predictions(
    train: tuple[Float[Tensor, "n d"], Int[Tensor, " n"]],
    test_features: Float[Tensor, "m d"],
    settings: Sequence[Setting],
    *,
    num_classes: int,
    chunk: int = 1024,
) -> dict[Setting, Int[Tensor, " m"]]:
    """Classify as :func:`weighted_knn`, with several settings that share one search for neighbors."""
    ks, temperatures = zip(*settings, strict=True)
    check_values({"k": ks, "temperature": temperatures}, KNN.rules)
    features, labels = train
    most = max(k for k, _ in settings)
    predictions: dict[Setting, list[Tensor]] = {setting: [labels[:0]] for setting in settings}
    for similarity, index in nearest(features, test_features, most, chunk=chunk):
        for k, temperature in settings:
            weights = cosine_weights(similarity[:, :k], temperature)
            voted = votes(weights, labels[index[:, :k]], num_classes=num_classes)
            predictions[k, temperature].append(voted.argmax(dim=1))
    return {setting: torch.cat(parts) for setting, parts in predictions.items()}


class KNN(Protocol):
    """The accuracy of a vote of the nearest training images; see :func:`weighted_knn`.

    Args:
        k: How many neighbors vote; all training images where there are fewer.
        temperature: The lower, the more the nearest decide.

    Raises:
        ValueError: If a ``k`` or temperature is not positive, or there is none.
    """

    needs = ("labels",)
    rules = table(k=one_or_several(whole(1)), temperature=one_or_several(POSITIVE))
    words = table(knn="kNN")

    def __init__(self, k: int | Sequence[int] = (5, 20, 100), temperature: float | Sequence[float] = (0.07,)) -> None:
        ks = [k] if isinstance(k, int) else list(k)
        temperatures = [temperature] if isinstance(temperature, (int, float)) else list(temperature)
        self.settings: list[Setting] = [(k, temperature) for k in ks for temperature in temperatures]

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return the accuracy of each combination, as ``acc1_k20_t0.07``, and ``acc1`` of one of them.

        It is the one that classifies a tenth of the training images best by the others, the first of equals.
        """
        classes = subject.data.num_classes
        train, (features, labels) = subject.features("train"), subject.features("val")
        predictions = _predictions(train, features, self.settings, num_classes=classes)
        scores = {setting: accuracy(found, labels, num_classes=classes) for setting, found in predictions.items()}
        chosen = self._choose(subject)
        subject.right["acc1"] = predictions[chosen] == labels
        named = {f"acc1_k{k}_t{temperature:g}": score["acc1"] for (k, temperature), score in scores.items()}
        return {"acc1": scores[chosen]["acc1"], **named}

    def _choose(self, subject: Subject) -> Setting:
        if len(self.settings) == 1:
            return self.settings[0]
        features, labels = subject.features("train")
        bank, held = hold_out(labels, 0.1, seed=subject.seed)
        train = (features[bank], labels[bank])
        found = _predictions(train, features[held], self.settings, num_classes=subject.data.num_classes)
        return max(self.settings, key=lambda setting: int((found[setting] == labels[held]).sum()))
