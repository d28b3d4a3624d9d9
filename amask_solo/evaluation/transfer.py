"""Score the features on other data sets than the one they were learned from."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from amask_solo.configuration import instantiate_choice
from amask_solo.data import ImageData, load_image_folder
from amask_solo.data.reading import describe_range
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone, fit_size
from amask_solo.evaluation.disturbances import occluded
from amask_solo.evaluation.knn import KNN
from amask_solo.evaluation.linear import linear_probe
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import acc1_on, unique_names, val_accuracy
from amask_solo.files import check_image_folder
from amask_solo.rules import BETWEEN, TEXT, listed, one_or_several, or_null, table, whole

METRICS = ("acc1", "mean_per_class")
_VALIDATION = ("val", "valid", "validation", "test")


class Transfer(Protocol):
    """Nearest neighbors and logistic regression on frozen features of other data sets.

    Images are read and normalized as those of the training: with its bands, mean and standard deviation, and with its
    range of values where files hold the same kind of numbers. Others have their own range, and a warning says so.

    Args:
        folders: Folders of data sets. Each has one sub-folder for each class, or ``train`` and one of ``val``,
            ``valid``, ``validation`` and ``test`` with the classes in them. Without such a split, a fifth of the images
            of each class is for validation.
        sets: Published data sets, the name of each with the folder that holds it: ``{flowers102: data, dtd: data}``.
            Names are those of ``configs/data``; see :func:`~amask_solo.data.load_published`.
        image_size: Height and width of the views; by default that of the subject. The positions of a ViT are resampled.
        occluded: If given, also score images in which a random rectangle of this area, in (0, 1), is hidden.

    Raises:
        ValueError: If there is neither a folder nor a set, ``image_size`` is not positive, or the area not in (0, 1).
    """

    rules = table(folders=or_null(one_or_several(TEXT)), image_size=or_null(whole(1)), occluded=or_null(BETWEEN))
    words = table(
        mean_linear_acc1="linear accuracy, mean over folders",
        mean_linear_acc1_occluded="linear accuracy with a part hidden, mean over folders",
    )
    own_images = True
    main = "mean_linear_acc1"

    def __init__(
        self,
        folders: str | Sequence[str] | None = None,
        image_size: int | None = None,
        *,
        sets: Mapping[str, str] | None = None,
        occluded: float | None = None,
    ) -> None:
        self.occluded, self.sets = occluded, dict(sets or {})
        self.folders = listed(folders or ())
        if not self.folders and not self.sets:
            raise ValueError("Give protocol.transfer.folders=[DIR] or protocol.transfer.sets={NAME:DIR}.")
        self.image_size = image_size

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``NAME/knn_acc1`` and ``NAME/linear_acc1`` of each folder and set, and ``mean_linear_acc1``.

        Sets that papers score by the mean over their classes have ``NAME/knn_mean_per_class`` and
        ``NAME/linear_mean_per_class`` too.

        With ``occluded``, ``NAME/linear_acc1_occluded`` and ``mean_linear_acc1_occluded`` are the scores of the same
        classifier on images with a hidden part.

        Raises:
            UserError: If a folder or set is missing, has no classes or images that the run was trained on to score, or
                the backbone takes no images of this size.
        """
        folders = [check_image_folder(folder, "protocol.transfer.folders").resolve() for folder in self.folders]
        places: list[Path | tuple[str, str]] = [*folders, *self.sets.items()]
        names = unique_names([*(folder.name for folder in folders), *self.sets])
        others = [self.subject_on(subject, place, name=name) for name, place in zip(names, places, strict=True)]
        for other in others:  # before hours of scoring
            subject.refuse_trained(other.data)
            for split in ("train", "val"):
                other.labeled(split)
        scores: dict[str, float] = {}
        for name, other in zip(names, others, strict=True):
            nearest = KNN()(other)
            scores |= {f"{name}/knn_{metric}": nearest[metric] for metric in METRICS if metric in nearest}
            subject.right[f"{name}/knn_acc1"] = other.right["acc1"]
            scores |= {f"{name}/{score}": value for score, value in self._linear(other).items()}
            subject.right |= {f"{name}/{score}": right for score, right in other.right.items()}
        for kind in ("linear_acc1", "linear_acc1_occluded") if self.occluded else ("linear_acc1",):
            of_kind = [score for score in scores if score.endswith(f"/{kind}")]
            subject.right[f"mean_{kind}"] = _weighted([subject.right[score] for score in of_kind])
            scores[f"mean_{kind}"] = fmean(scores[score] for score in of_kind)
        return scores

    def _linear(self, subject: Subject) -> dict[str, float]:
        classifier, images = linear_probe(subject), subject.labeled("val")
        features, labels = subject.features("val")
        found = val_accuracy(subject, classifier(features), labels)
        scores = {f"linear_{metric}": found[metric] for metric in METRICS if metric in found}
        subject.right["linear_acc1"] = subject.right["acc1"]
        if self.occluded:
            views = occluded(subject, images, self.occluded)
            scores |= acc1_on(subject, classifier, images, views, score="linear_acc1_occluded")
        return scores

    def subject_on(self, subject: Subject, place: Path | tuple[str, str], *, name: str) -> Subject:
        """Return a subject with the same backbone and other data: of a folder, or of a set and where it is."""
        return Subject(
            backbone=_at_size(subject, self.image_size),
            data=self._load(subject, place, name=name) if isinstance(place, Path) else self._take(subject, *place),
            device=subject.device,
            batch_size=subject.batch_size,
            seed=subject.seed,
            view_filter=subject.view_filter,
            chosen_by="protocol.transfer.folders" if isinstance(place, Path) else "protocol.transfer.sets",
        )

    def _take(self, subject: Subject, name: str, root: str) -> ImageData:
        return instantiate_choice(
            "data",
            name,
            f"protocol.transfer.sets.{name}",
            root=root,
            image_size=self.image_size or subject.data.image_size,
            seed=subject.seed,
            mean=list(subject.data.mean),
            std=list(subject.data.std),
        )

    def _load(self, subject: Subject, path: Path, *, name: str) -> ImageData:
        val_path = next((path / part for part in _VALIDATION if (path / part).is_dir()), None)
        split = val_path is not None and (path / "train").is_dir()
        reading = subject.reading or subject.data.reading
        try:
            data = load_image_folder(
                train_path=str(path / "train" if split else path),
                val_path=str(val_path) if split else None,
                val_fraction=0.2,
                image_size=self.image_size or subject.data.image_size,
                seed=subject.seed,
                mean=subject.data.mean,
                std=subject.data.std,
                name=name,
                **reading,
            )
        except ValueError as error:
            raise UserError(f"'{name}' cannot be read as the images of the training were: {error}") from error
        if data.reading["value_range"] != reading["value_range"]:
            said = describe_range(data.value_range, data.numbers, reading["value_range"])
            warnings.warn(f"{name}: {said}", stacklevel=2)
        return data


def _at_size(subject: Subject, image_size: int | None) -> Backbone:
    """Return the backbone for images of a size: itself, or a copy if they are of another size than the subject's."""
    if image_size is None or image_size == subject.data.image_size:
        return subject.backbone
    backbone = deepcopy(subject.backbone)
    fit_size(backbone, image_size, len(subject.data.mean), key="protocol.transfer.image_size")
    return backbone


def _weighted(rights: Sequence[Tensor]) -> Tensor:
    """Return which images of several sets are right, with weights by which the mean over all is that over sets."""
    total = sum(map(len, rights))
    return torch.cat([right.cpu().double() * (total / (len(rights) * len(right))) for right in rights])
