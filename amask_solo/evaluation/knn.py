"""Nearest neighbors in feature space."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Features, Protocol, Split, Subject
from amask_solo.evaluation.scores import accuracy, choosing_split, per_class
from amask_solo.neighbors import cosine_weights, distance_weights, nearest, votes
from amask_solo.rules import POSITIVE, check_values, listed, one_of, one_or_several, table, whole


class Setting(NamedTuple):
    """How many neighbors vote, the temperature of their votes (``None``: by Euclidean distance), and by what."""

    k: int
    temperature: float | None
    features: str = "backbone"

    def __str__(self) -> str:
        how = "euclidean" if self.temperature is None else f"t{self.temperature:g}"
        return f"k{self.k}_{how}" + (f"_{self.features}" if self.features != "backbone" else "")


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
    check_values({"k": k, "temperature": temperature}, KNN.rules)
    setting = Setting(k, temperature)
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
    """Classify with several settings, of which those by one distance share one search for neighbors."""
    features, labels = train
    predictions: dict[Setting, list[Tensor]] = {setting: [labels[:0]] for setting in settings}
    for distance in ("cosine", "euclidean"):
        by_it = [setting for setting in settings if (setting.temperature is None) == (distance == "euclidean")]
        most = max((setting.k for setting in by_it), default=0)
        for closeness, index in nearest(features, test_features, most, distance=distance, chunk=chunk) if most else ():
            for setting in by_it:
                near, tau = closeness[:, : setting.k], setting.temperature
                weights = distance_weights(near) if tau is None else cosine_weights(near, tau)
                voted = votes(weights, labels[index[:, : setting.k]], num_classes=num_classes)
                predictions[setting].append(voted.argmax(dim=1))
    return {setting: torch.cat(parts) for setting, parts in predictions.items()}


class KNN(Protocol):
    """The accuracy of a vote of the nearest training images.

    By cosine similarity it is that of :func:`weighted_knn`; by Euclidean distance a neighbor votes with the inverse of
    its distance, as in solo-learn.

    Args:
        k: How many neighbors vote; all training images where there are fewer.
        temperature: The lower, the more the nearest decide, by cosine similarity.
        distance: ``cosine``, ``euclidean``, or both.
        features: Those of the ``backbone``, or of the run's ``projector`` behind it, or both.
    """

    needs = ("labels",)
    rules = table(
        k=one_or_several(whole(1)),
        temperature=one_or_several(POSITIVE),
        distance=one_or_several(one_of("cosine", "euclidean")),
        features=one_or_several(one_of("backbone", "projector")),
    )
    words = table(knn="kNN")

    def __init__(
        self,
        k: int | Sequence[int] = (5, 20, 100),
        temperature: float | Sequence[float] = (0.07,),
        *,
        distance: str | Sequence[str] = "cosine",
        features: str | Sequence[str] = "backbone",
    ) -> None:
        ks, temperatures, distances, kinds = map(listed, (k, temperature, distance, features))
        weights = [*(temperatures if "cosine" in distances else []), *([None] if "euclidean" in distances else [])]
        self.settings = [Setting(*each) for each in product(ks, weights, kinds)]

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return the accuracy of each combination, as ``acc1_k20_t0.07``, and ``acc1`` of one of them.

        It is the one that classifies a tenth of the training images best by the others, the first of equals. If papers
        score the data by the mean over its classes, ``mean_per_class`` is that of the same one.

        Raises:
            UserError: If the run has no projector of which features are asked for.
        """
        subject.features("train")  # the first to say what is missing
        _, labels = subject.features("val")
        predictions = self._predict(subject)
        chosen = self._choose(subject)
        subject.right["acc1"] = predictions[chosen] == labels
        classes = subject.data.num_classes
        scores = {setting: accuracy(found, labels, num_classes=classes) for setting, found in predictions.items()}
        named = {f"acc1_{setting}": score["acc1"] for setting, score in scores.items()}
        return {"acc1": named[f"acc1_{chosen}"], **per_class(subject, predictions[chosen], labels), **named}

    def _predict(self, subject: Subject, parts: tuple[Tensor, Tensor] | None = None) -> dict[Setting, Tensor]:
        """Classify the validation images by the training images, or a second part of the latter by a first one."""
        found: dict[Setting, Tensor] = {}
        for kind in dict.fromkeys(setting.features for setting in self.settings):
            (bank, labels), (queries, _) = ((_seen(subject, split, kind)) for split in ("train", "val"))
            if parts is not None:
                bank, labels, queries = bank[parts[0]], labels[parts[0]], bank[parts[1]]
            of_kind = [setting for setting in self.settings if setting.features == kind]
            found |= _predictions((bank, labels), queries, of_kind, num_classes=subject.data.num_classes)
        return {setting: found[setting] for setting in self.settings}

    def _choose(self, subject: Subject) -> Setting:
        if len(self.settings) == 1:
            return self.settings[0]
        _, labels = subject.features("train")
        parts = choosing_split(labels, 0.1, seed=subject.seed)
        found = self._predict(subject, parts)
        return max(self.settings, key=lambda setting: int((found[setting] == labels[parts[1]]).sum()))


@torch.no_grad()
def _seen(subject: Subject, split: Split, kind: str) -> Features:
    features, labels = subject.features(split)
    if kind == "backbone":
        return features, labels
    if subject.head is None:
        raise UserError("The run has no projector that can be built again; leave protocol.knn.features out.")
    return subject.head(features).float(), labels
