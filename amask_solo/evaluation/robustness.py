"""Accuracy under occlusion, corruptions and other backgrounds."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import torch

from amask_solo._random import stream
from amask_solo.augment.views import evaluation_crop
from amask_solo.data import ImageSet
from amask_solo.data.base import ObjectMasks
from amask_solo.errors import UserError
from amask_solo.evaluation.disturbances import (
    CORRUPTIONS,
    STRENGTHS,
    corrupted,
    draw_partners,
    load_occluders,
    occluded,
    pasted,
    remove_backgrounds,
    swap_backgrounds,
)
from amask_solo.evaluation.linear import linear_probe
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import acc1_on, mean_height, val_accuracy
from amask_solo.rules import BETWEEN, SWITCH, TEXT, or_null, several, table

Score = Callable[..., dict[str, float]]
"""Takes images and their views to the accuracy of the classifier, by name."""


class Robustness(Protocol):
    """Fit a linear classifier on clean images; score it on occluded and corrupted images and with other backgrounds.

    Occlusion hides one random rectangle of a given area in the mean color of the data set. While the rectangle of an
    image grows, it keeps its place and shape as far as possible. Random rectangles say little about the worst ones; see
    :class:`~amask_solo.evaluation.Attack`.

    With ``occluders``, objects of other pictures hide a part of each image, once as an outline filled with the mean
    color and once with their own pixels. Ours.

    If the validation images have object masks, their objects are pasted onto the backgrounds of other images, from
    which the objects are removed. With a background of the same class, only the traces of pasting can hurt. A further
    loss with a background of another class shows how much the classifier relies on backgrounds. Void pixels count as
    object here, for the rims of objects are among them. Images with an empty or full mask are left out. The backgrounds
    follow Xiao et al. with two differences: their "mixed-rand" backgrounds may be of the same class, and they fill
    removed objects with tiles of the background, where we use its mean color.

    Args:
        areas: The hidden shares of the images, in (0, 1).
        occluders: A folder with ``images`` and ``masks`` in it, with files of equal names, whose objects are pasted;
            see :func:`~amask_solo.data.load_image_masks`. None by default.
        corruptions: Whether to score under blur, noise, JPEG compression and reduced contrast; see
            :mod:`amask_solo.evaluation.disturbances`.

    References:
        Hendrycks and Dietterich, `Benchmarking Neural Network Robustness to Common Corruptions and Perturbations
        <https://arxiv.org/abs/1903.12261>`_, ICLR 2019.

        Xiao et al., `Noise or Signal: The Role of Image Backgrounds in Object Recognition
        <https://arxiv.org/abs/2006.09994>`_, ICLR 2021.
    """

    needs = ("labels",)
    rules = table(areas=several(BETWEEN, least=0), occluders=or_null(TEXT), corruptions=SWITCH)
    words = table(
        acc1_curve="accuracy while ever more is hidden",
        acc1_outlines="accuracy under outlines of objects",
        acc1_objects="accuracy under objects",
        acc1_corrupted="accuracy on corrupted images",
    )
    main = "acc1_curve"
    no_percent = ("outline_area",)
    lower_is_better = ("background_gap",)

    def __init__(
        self,
        areas: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
        *,
        occluders: str | None = None,
        corruptions: bool = False,
    ) -> None:
        self.areas = list(areas)
        self.occluders, self.corruptions = occluders, corruptions

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return the accuracy under each condition.

        - ``acc1`` on clean images, ``acc1_area0.3`` with 30 % hidden, and ``acc1_curve``, the mean while the hidden
          area grows from nothing to the largest: the area under the line through these points (trapezoid rule), divided
          by the range of areas, so in percent as well.
        - With ``occluders``, ``acc1_outlines`` and ``acc1_objects``, and ``outline_area``, the share of a view that
          these hide.
        - With ``corruptions``, ``acc1_blur_1`` to ``acc1_contrast_3``, and ``acc1_corrupted``, the mean over all.
        - With object masks, ``acc1_same_class_background``, ``acc1_other_background``, their difference
          ``background_gap``, and ``acc1_no_background``, with the mean color as background.

        Raises:
            UserError: If images of another number of channels than three are to be corrupted or occluded by objects.
        """
        if (self.occluders or self.corruptions) and (channels := len(subject.data.mean)) != 3:
            raise UserError(
                f"occluders and corruptions are those of color images, but these have {channels} channels; leave "
                "protocol.robustness.occluders and protocol.robustness.corruptions out."
            )
        images = subject.labeled("val")
        classifier = linear_probe(subject)
        score = partial(acc1_on, subject, classifier)
        features, labels = subject.features("val")
        scores = {"acc1": val_accuracy(subject, classifier(features), labels)["acc1"]}
        by_area = {0.0: "acc1"} | {area: f"acc1_area{area:g}" for area in self.areas}
        for area in self.areas:
            scores |= score(images, occluded(subject, images, area), score=by_area[area])
        if self.areas:
            scores["acc1_curve"] = float(mean_height({area: scores[name] for area, name in by_area.items()}))
            subject.right["acc1_curve"] = mean_height({area: subject.right[name] for area, name in by_area.items()})
        return scores | {
            name: value
            for part in (self._under_objects, self._corrupted, _on_backgrounds)
            for name, value in part(subject, images, score).items()
        }

    def _under_objects(self, subject: Subject, images: ImageSet, score: Score) -> dict[str, float]:
        if self.occluders is None:
            return {}
        objects = load_occluders(self.occluders, size=images.image(0).shape[-1])
        seen = evaluation_crop(255 * objects.masks.byte(), subject.data.image_size) > 127
        return {
            **score(images, pasted(subject, images, objects, outlines=True), score="acc1_outlines"),
            **score(images, pasted(subject, images, objects, outlines=False), score="acc1_objects"),
            "outline_area": seen.float().mean().item(),
        }

    def _corrupted(self, subject: Subject, images: ImageSet, score: Score) -> dict[str, float]:
        if not self.corruptions:
            return {}
        scores: dict[str, float] = {}
        for name, strength in product(CORRUPTIONS, STRENGTHS):
            scores |= score(images, corrupted(subject, images, name, strength), score=f"acc1_{name}_{strength}")
        right = [subject.right[name].float() for name in scores]
        subject.right["acc1_corrupted"] = torch.stack(right).mean(dim=0)
        return scores | {"acc1_corrupted": sum(scores.values()) / len(scores)}


def _on_backgrounds(subject: Subject, images: ImageSet, score: Score) -> dict[str, float]:
    if images.masks is None:
        return {}
    hidden = _cut_outs(images).flatten(1)
    shown = images.select((hidden.any(dim=1) & ~hidden.all(dim=1)).nonzero()[:, 0])
    if len(shown.labels.unique()) < 2:
        return {}
    generator = stream("robustness/backgrounds", seed=subject.seed, rank=0, step=0, device="cpu")
    scores: dict[str, float] = {}
    for name, same_class in (("acc1_same_class_background", True), ("acc1_other_background", False)):
        others = shown.select(draw_partners(shown.labels, same_class=same_class, generator=generator))
        both = zip(_with_objects(subject, shown), _with_objects(subject, others), strict=True)
        scores |= score(shown, (subject.view(swap_backgrounds(*here, *there)) for here, there in both), score=name)
    scores["background_gap"] = scores["acc1_same_class_background"] - scores["acc1_other_background"]
    bare = (subject.view(remove_backgrounds(*part)) for part in _with_objects(subject, shown))
    return scores | score(shown, bare, score="acc1_no_background")


def _with_objects(subject: Subject, images: ImageSet) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    masks = _cut_outs(images).split(subject.batch_size)
    for (pixels, _), objects in zip(subject.batches(images), masks, strict=True):
        yield pixels, objects.to(pixels.device)


def _cut_outs(images: ImageSet) -> ObjectMasks:
    # In the void around an object lies its own rim, which would show before the other background.
    return images.objects() if images.void is None else images.objects() | images.void
