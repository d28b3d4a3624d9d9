"""What all classifying protocols share: the scores, and how settings are chosen without the validation set."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from amask_solo._types import Images
from amask_solo.data import ImageSet
from amask_solo.data.subsets import stratified_split
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Subject


def accuracy(
    predicted: Float[Tensor, "n c"] | Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> dict[str, float]:
    """Return the share of images classified correctly, in percent.

    Args:
        predicted: Logits or any other scores of the classes, or class ids.
        labels: Class ids from 0.
        num_classes: Number of classes, at least 2.

    Returns:
        ``acc1``; from scores of more than 5 classes also ``acc5``, whether the label is among the five highest.

    Example:
        >>> accuracy(torch.tensor([[0.1, 0.9], [2.0, 1.0]]), torch.tensor([1, 1]), num_classes=2)
        {'acc1': 50.0}
    """
    ranked = (1, 5) if predicted.ndim == 2 and num_classes > 5 else (1,)
    return {
        f"acc{k}": 100 * multiclass_accuracy(predicted, labels, num_classes, average="micro", top_k=k).item()
        for k in ranked
    }


def val_accuracy(subject: Subject, logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> dict[str, float]:
    """Return the scores on the labeled validation images, and tell the subject which ones are right."""
    logits = logits.detach()
    predicted = logits.argmax(dim=1)
    subject.right["acc1"] = predicted == labels
    scores = accuracy(logits, labels, num_classes=subject.data.num_classes)
    return scores | per_class(subject, predicted, labels)


def per_class(subject: Subject, predicted: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> dict[str, float]:
    """Return ``mean_per_class``, the mean accuracy in percent of the classes that occur, if papers score data by it."""
    if subject.data.metric != "mean_per_class":
        return {}
    counts, right = labels.bincount(minlength=1), labels[predicted == labels]
    shares = right.bincount(minlength=len(counts))[counts > 0] / counts[counts > 0]
    return {"mean_per_class": 100 * shares.mean().item()}


@torch.no_grad()
def acc1_on(
    subject: Subject, classifier: nn.Module, images: ImageSet, views: Iterable[Images], *, score: str
) -> dict[str, float]:
    """Return the accuracy of a classifier of features on views of labeled images, in percent, by the name ``score``.

    The subject is told which images are right. The views come in batches, in the order of the images.
    """
    logits = torch.cat([classifier(subject.encode(view)) for view in views])
    labels = images.labels.to(logits.device)
    subject.right[score] = logits.argmax(dim=1) == labels
    return {score: accuracy(logits, labels, num_classes=subject.data.num_classes)["acc1"]}


def mean_height(curve: Mapping[float, float | Tensor]) -> Float[Tensor, "*any"]:
    """Return the mean of the curve that joins some points by straight lines; of many curves, if the heights are many.

    Example:
        >>> float(mean_height({0.0: 100.0, 0.5: 50.0, 0.1: 90.0}))
        75.0
    """
    place = torch.tensor(sorted(curve), dtype=torch.float64)
    height = torch.stack([torch.as_tensor(curve[float(x)]).cpu().double() for x in place])
    return torch.trapezoid(height, place, dim=0) / (place[-1] - place[0])


def choosing_split(
    labels: Int[Tensor, " n"], fraction: float, *, seed: int
) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"]]:
    """Return the indexes of training images to fit, and of those to choose settings on, each class alike.

    Args:
        labels: Class ids, on any device.
        fraction: Share of the second part, in (0, 1); at least one image goes there.
        seed: Another seed makes another split.

    Raises:
        UserError: If there are fewer than two images.
    """
    count = len(labels)
    if count < 2:
        raise UserError(f"Expected at least 2 labeled training images, but got {count}; add images.")
    # A tenth of a handful of images is none; 1.5 keeps rounding from losing the one.
    parts = stratified_split(labels.cpu(), max(fraction, 1.5 / count), seed=seed)
    first, second = (part.to(labels.device) for part in parts)
    return first, second


def unique_names(names: Sequence[str]) -> list[str]:
    """Append numbers to repeated names.

    Example:
        >>> unique_names(["birds", "cars", "birds"])
        ['birds', 'cars', 'birds_2']
    """
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique.append(candidate)
    return unique
