"""A linear classifier on frozen features, fitted once they are known: seconds, not epochs of images."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo.data import ImageData, ImageSet
from amask_solo.data.subsets import Picks, balanced_subset
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Features, Protocol, Split, Subject
from amask_solo.evaluation.regression import Axes, Settings, fit_linear, solve
from amask_solo.evaluation.scores import accuracy, choosing_split, unique_names, val_accuracy
from amask_solo.files import expanded, read_text
from amask_solo.rules import AT_LEAST_0, BETWEEN, PART, TEXT, either, listed, one_of, one_or_several, table, whole

Share = float | int | str
"""A share of the labels, or a file with the names of the images that have one."""


class Linear(Protocol):
    """The accuracy of logistic regression on frozen features of images as they are.

    :func:`~amask_solo.evaluation.regression.fit_linear` fits it. The weight decay is the best on a held-out part of the
    training images, or the strongest of equals; the classifier is then fitted on all training images. Validation images
    choose nothing. Published linear evaluations train on augmented images instead, and usually score a little higher.

    If the data have variants, each is scored too: those with the same training images by the same classifier, such as
    other backgrounds, and the others by one of their own.

    Args:
        solver: ``lbfgs`` or ``sgd``.
        weight_decay: The strengths to choose from, in any order.
        held_out: The share of each class that chooses, in (0, 1).
        epochs: How often ``sgd`` sees each image.
        fraction: How many labels are used. A share in (0, 1] is drawn as by
            :class:`~amask_solo.evaluation.trained.FineTune`. A text file, such as the published ones of 1 % and 10 % of
            ImageNet, has the names of the images, one a line, with or without their folders; images of several folders
            that are named alike need them.
    """

    needs = ("labels",)
    words = table(
        acc1_small="accuracy on small digits",
        acc1_unmarked="accuracy on unmarked images",
        acc1_mixed_same="accuracy before backgrounds of the same class",
        acc1_mixed_rand="accuracy before random backgrounds",
        bg_gap="gap between backgrounds of the same class and random ones",
    )
    lower_is_better = ("bg_gap",)
    rules = table(
        solver=one_of("lbfgs", "sgd"),
        weight_decay=one_or_several(AT_LEAST_0),
        held_out=BETWEEN,
        epochs=whole(1),
        fraction=one_or_several(either(PART, TEXT)),
    )

    def __init__(
        self,
        solver: str = "lbfgs",
        weight_decay: float | Sequence[float] = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5),
        *,
        held_out: float = 0.1,
        epochs: int = 30,
        fraction: Share | Sequence[Share] = 1.0,
    ) -> None:
        self.solver, self.held_out, self.epochs = solver, held_out, epochs
        self.weight_decay, self.fraction = sorted(listed(weight_decay), reverse=True), listed(fraction)

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``acc1`` and, of more than 5 classes, ``acc5`` of the validation images.

        If papers score the data by the mean over its classes, ``mean_per_class`` is given too. Of several fractions,
        the last one gives these; each that is not all has scores such as ``acc1_fraction0.1``.

        If the data have variants, ``acc1_NAME`` is the accuracy on each, and each of the gaps of the data is the
        difference between two of them, in points.
        """
        named: dict[str, float] = {}
        said = [Path(share).stem if isinstance(share, str) else f"{share:g}" for share in self.fraction]
        for name, share in zip(unique_names(said), self.fraction, strict=True):
            classifier = self.fit(subject, share)
            features, labels = subject.features("val")
            scores = val_accuracy(subject, classifier(features), labels)
            if share != 1:
                named |= {f"{score}_fraction{name}": value for score, value in scores.items()}
        scores |= named
        for name, data in subject.data.variants.items():
            scores[f"acc1_{name}"] = self._on_variant(subject, data, name, classifier)
        gaps = subject.data.gaps.items()
        return scores | {gap: scores[f"acc1_{first}"] - scores[f"acc1_{second}"] for gap, (first, second) in gaps}

    def _on_variant(self, subject: Subject, data: ImageData, name: str, classifier: nn.Linear) -> float:
        shared = data.train is subject.data.train
        known: dict[Split, Features] = {"train": subject.features("train")} if shared else {}
        variant = replace(subject, data=data, right={}, _features=known)
        classifier = classifier if shared else self.fit(variant)
        features, labels = variant.features("val")
        score = val_accuracy(variant, coarsen(classifier(features), data), labels)["acc1"]
        subject.right[f"acc1_{name}"] = variant.right["acc1"]
        return score

    def fit(self, subject: Subject, share: Share | None = None) -> nn.Linear:
        """Return the classifier of raw features, with the weight decay that held-out training images choose.

        It is fitted on a share of the training images, by default the last of the fractions.

        Raises:
            UserError: If the share is a list of which no training image is part.
        """
        features, labels = subject.features("train")
        share = self.fraction[-1] if share is None else share
        if share != 1:
            picks = pick_share(subject.labeled("train"), share, seed=subject.seed).to(labels.device)
            features, labels = features[picks], labels[picks]
        generator = stream("linear", seed=subject.seed, rank=0, step=0, device="cpu")
        settings = Settings(subject.data.num_classes, self.solver, self.epochs, generator)
        strength = self.weight_decay[0]
        if len(self.weight_decay) > 1:
            strength = self._choose((features, labels), settings, seed=subject.seed)
        return fit_linear(features, labels, settings, weight_decay=strength)

    def _choose(self, given: Features, settings: Settings, *, seed: int) -> float:
        """Return the best weight decay; each fit starts where a stronger one ended, and the strongest is fastest."""
        features, labels = given
        train, held = choosing_split(labels, self.held_out, seed=seed)
        axes, found, scores = Axes.of(features[train]), None, {}
        for strength in self.weight_decay:
            found = solve(axes, labels[train], settings, weight_decay=strength, start=found)
            logits = axes.classifier(*found)(features[held]).detach()
            scores[strength] = accuracy(logits, labels[held], num_classes=settings.num_classes)["acc1"]
        return max(scores, key=scores.__getitem__)


def linear_probe(subject: Subject) -> nn.Linear:
    """Return the linear probe by which other protocols score: that of the default settings, fitted once to features."""
    features = subject.features("train")
    if subject.probe is None or subject.probe[0] is not features:
        subject.probe = (features, Linear().fit(subject))
    return subject.probe[1]


def coarsen(logits: Float[Tensor, "n c"], data: ImageData) -> Float[Tensor, "n k"]:
    """Return scores of the classes of a variant, the highest of the classes that count as each.

    So the class with the highest score is the one as which the prediction itself counts.
    """
    if data.counts_as is None:
        return logits
    places = torch.tensor(data.counts_as, device=logits.device).expand_as(logits)
    lowest = logits.new_full((len(logits), data.num_classes), -torch.inf)
    return lowest.scatter_reduce(1, places, logits, "amax")


def pick_share(images: ImageSet, share: Share, *, seed: int) -> Picks:
    """Return which of the training images have their labels used: a balanced share, or those in a list of files.

    Raises:
        UserError: If the list is missing, has none of the images, or one of its names fits several of them.
    """
    if not isinstance(share, str):
        classes = len(images.labels.unique())
        return balanced_subset(images.labels, max(classes, round(share * len(images))), seed=seed)
    file = expanded(share)
    if not file.is_file():
        raise UserError(f"Expected fraction to be a share above 0, up to 1, or a list of files, but got {share!r}.")
    lines, names = {line.strip() for line in read_text(file).splitlines()} - {""}, images.names or ()
    found = _find_files(lines, names)
    for line, places in found.items():
        if len(places) > 1:
            first, second, *_ = (names[place] for place in places)
            raise UserError(
                f"'{line}' in '{file}' fits {len(places)} of the training images, such as '{first}' and '{second}'; "
                "give the folder of each."
            )
    picks = sorted({place for places in found.values() for place in places})
    if not picks:
        raise UserError(f"None of the {len(lines)} files in '{file}' is among the {len(images)} training images.")
    return torch.tensor(picks)


def _find_files(lines: Iterable[str], names: Sequence[str]) -> dict[str, list[int]]:
    """Return the places of the images whose paths end with each line, or of the only one with its base name.

    What a line has above the folders of the images themselves does not count.
    """
    deepest = max((len(Path(name).parts) for name in names), default=1)
    ends = {line: Path(line).parts[-deepest:] for line in lines}
    wanted = {*ends.values()} | {end[-1:] for end in ends.values()}
    depths, places = {len(end) for end in wanted}, defaultdict(list)
    for place, name in enumerate(names):
        parts = Path(name).parts
        for end in {parts[-depth:] for depth in depths} & wanted:
            places[end].append(place)
    alone = {end: found for end, found in places.items() if len(found) == 1}
    return {line: places[end] or alone.get(end[-1:], []) for line, end in ends.items()}
