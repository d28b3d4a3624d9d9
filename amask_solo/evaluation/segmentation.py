"""Which class each pixel belongs to, or where the object is, read off the last feature map."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from amask_solo._types import Scalar
from amask_solo.data import ImageSet
from amask_solo.data.base import VOID, ObjectMasks, Segments
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import BROKEN, Protocol, Split, Subject, finite
from amask_solo.evaluation.regression import minimize
from amask_solo.rules import AT_LEAST_0, SWITCH, table, whole

SCORED_AT_ONCE = 64
"""Images whose pixels are counted at a time."""


class Segmentation(Protocol):
    r"""Train a linear probe on the last feature map to tell the class of each pixel, or the object from its background.

    The probe is a 1x1 convolution on the standardized features that scores the classes at every position, that is a
    logistic regression. A stock ResNet leaves 2 x 2 positions of an image of 64 pixels, which show no shape; there,
    each position scores r x r parts of its cell, with the smallest r that makes ``resolution`` scores a side. With
    :math:`c` the share of the object in what is known of a part, the probe minimizes

    .. math:: -\operatorname{mean} \left( c \log p + (1 - c) \log (1 - p) \right)
        + \tfrac{\lambda}{2 r^2} \lVert W \rVert^2,

    which is convex: nothing is drawn at random. Void pixels are not known, and a part weighs as much as is known of it.
    Where the data have several classes of pixels, the first term is the cross entropy of the shares of all classes.
    Scores are enlarged bilinearly to the size of the validation images.

    Probing frozen maps with a 1x1 convolution is usual; the parts are ours. Sequential adversarial masking reports
    segmentation on Pascal VOC; of that work only the abstract was at hand, so that its recipe is unknown. Published
    numbers are taken at the size of each picture, ours at the size of the views.

    Cost: one pass over all images, whose maps stay in memory, and up to ``max_iter`` steps on all their positions:
    seconds for objects; for Pascal VOC and a ResNet-50 at 224 px some 2 GB, four times as much if dilated.

    Args:
        resolution: The fewest scores a side; 1, or a map as large as this, makes a single score of each position.
        weight_decay: The :math:`\lambda` above.
        dilated: Whether the last stage of a ResNet keeps the size of its map; see
            :meth:`~amask_solo.evaluation.backbone.Backbone.dilated`.
        max_iter: Steps of L-BFGS at most.

    References:
        Sam et al., `Improving self-supervised representation learning via sequential adversarial masking
        <https://arxiv.org/abs/2212.08277>`_, 2022 (the abstract).
    """

    needs = ("objects",)
    rules = table(resolution=whole(1), weight_decay=AT_LEAST_0, dilated=SWITCH, max_iter=whole(1))

    def __init__(
        self, *, resolution: int = 14, weight_decay: float = 1e-2, dilated: bool = False, max_iter: int = 100
    ) -> None:
        self.resolution, self.weight_decay, self.dilated, self.max_iter = resolution, weight_decay, dilated, max_iter

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Score the probe on the validation images.

        Returns:
            In percent over all pixels of all images but void ones: ``miou``, the intersection over union, averaged over
            the classes that occur, the background being one of them; of an object and its background also ``iou``, that
            of the object; ``pixel_acc``. Two guesses that need no features get the same scores: ``_majority`` calls
            every pixel what most training pixels are, and ``_mean_mask`` calls every pixel what it is in most training
            images.
        """
        train, val = pixel_classes(subject, "train"), pixel_classes(subject, "val")
        classes = count_classes(subject)
        if self.dilated:
            subject = replace(subject, backbone=subject.backbone.dilated(), _features={})
        logits = self._predict(subject, train, range(1, 2) if classes == 2 else range(classes))
        usual = _counts(train, classes)
        guesses = {
            "": torch.cat([decide(part, val.shape[-2:]) for part in logits.split(subject.batch_size)]),
            "_majority": usual.sum(dim=(1, 2)).argmax().expand_as(val),
            "_mean_mask": usual.argmax(dim=0).expand_as(val),
        }
        return {
            name + kind: score
            for kind, guess in guesses.items()
            for name, score in segmentation_scores(guess, val, classes).items()
        }

    def _predict(self, subject: Subject, train: Segments, wanted: range) -> Float[Tensor, "m k h w"]:
        """Train the probe of the wanted classes on the training images, and score the validation images."""
        maps = feature_maps(subject, "train")
        mean, std = maps.mean(dim=(0, 2, 3), keepdim=True), maps.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
        parts = -(-self.resolution // min(maps.shape[-2:]))
        grid = (parts * maps.shape[-2], parts * maps.shape[-1])
        # One class after another: all of them at full size would take gigabytes.
        covered = torch.cat([F.adaptive_avg_pool2d((train == number).float(), grid) for number in wanted], dim=1)
        shares = F.adaptive_avg_pool2d((train != VOID).float(), grid)
        features = ((maps - mean) / std).movedim(1, -1).flatten(0, 2)
        targets, counted = (F.pixel_unshuffle(x, parts).movedim(1, -1).flatten(0, 2) for x in (covered, shares))
        weight, bias = self._fit(features, targets, counted, len(wanted))
        seen = (feature_maps(subject, "val") - mean) / std
        scores = torch.einsum("ndij,dk->nkij", seen, weight) + bias[:, None, None]
        return F.pixel_shuffle(scores, parts)

    @torch.enable_grad()
    def _fit(
        self, features: Float[Tensor, "p d"], targets: Float[Tensor, "p k"], counted: Float[Tensor, "p r"], classes: int
    ) -> tuple[Tensor, Tensor]:
        weight = features.new_zeros(features.shape[1], targets.shape[1], requires_grad=True)
        bias = features.new_zeros(targets.shape[1], requires_grad=True)

        def loss() -> Scalar:
            logits = features @ weight + bias
            if classes == 1:
                known = targets / counted.clamp_min(1e-6)  # of wholly void parts, which weigh nothing, 0
                entropy = F.binary_cross_entropy_with_logits(logits, known, weight=counted)
            else:  # of void parts, the shares of the classes sum to less than one
                entropy = F.cross_entropy(logits.unflatten(1, (classes, -1)), targets.unflatten(1, (classes, -1)))
            return entropy + classes * self.weight_decay / 2 * weight.square().sum(dim=0).mean()

        minimize(loss, [weight, bias], max_iter=self.max_iter)
        return weight.detach(), bias.detach()


def decide(logits: Float[Tensor, "n k h w"], size: torch.Size) -> UInt8[Tensor, "n 1 _ _"]:
    """Return the class of each pixel at full size: the highest of the scores, or object where a single one is above 0.

    Example:
        >>> decide(torch.tensor([[[[-1.0, 2.0]]]]), torch.Size([1, 2]))
        tensor([[[[0, 1]]]], dtype=torch.uint8)
    """
    scores = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    found = scores > 0 if scores.shape[1] == 1 else scores.argmax(dim=1, keepdim=True)
    return found.to(torch.uint8)


def segmentation_scores(found: Tensor, truth: Tensor, classes: int = 2) -> dict[str, float]:
    """Return ``miou``, ``iou`` of the object if it is the only class, and ``pixel_acc``, in percent.

    Both tensors ``(n, 1, s, s)`` have the class of each pixel. Those that are void in truth do not count.
    """
    known: dict = {"num_classes": classes, "ignore_index": VOID, "validate_args": False}
    metrics = MetricCollection(
        {
            "miou": MulticlassJaccardIndex(**known),
            "iou": MulticlassJaccardIndex(average="none", **known),
            "pixel_acc": MulticlassAccuracy(average="micro", **known),
        }
    ).to(truth.device)
    for guess, wanted in zip(found.split(SCORED_AT_ONCE), truth.split(SCORED_AT_ONCE), strict=True):
        metrics.update(guess.long(), wanted.long())
    values = metrics.compute()
    chosen = {"miou": values["miou"], "iou": values["iou"][1], "pixel_acc": values["pixel_acc"]}
    return {name: 100 * float(score) for name, score in chosen.items() if classes == 2 or name != "iou"}


def pixel_classes(subject: Subject, split: Split) -> Segments:
    """Return the class of each pixel of a split, on the device; where :func:`object_masks` is all, 1 is an object."""
    objects, segments = object_masks(subject, split), subject.images(split).segments
    if segments is not None:
        return segments.to(subject.device)
    return objects.to(torch.uint8).masked_fill(~known_pixels(subject, split), VOID)


def count_classes(subject: Subject) -> int:
    """Return the number of classes of pixels, with the background."""
    return max(2, len(subject.data.segment_names))


def object_masks(subject: Subject, split: Split) -> ObjectMasks:
    """Return where the objects of a split are, on the device.

    Raises:
        UserError: If the data do not say, or do not say it for the pixels of the views.
    """
    images: ImageSet = subject.images(split)
    if images.masks is None:
        raise UserError(
            f"This protocol needs object masks, but the data set '{subject.data.name}' has none; "
            "use data=shapes or data=image_masks."
        )
    if images.size != subject.data.image_size:
        raise UserError(
            f"Expected images and masks of the size of the views, {subject.data.image_size}, but those of "
            f"'{subject.data.name}' have {images.size}; store them at the size of the views."
        )
    return images.masks.to(subject.device)


def known_pixels(subject: Subject, split: Split) -> ObjectMasks:
    """Return the pixels of a split that count: all that are not void, on the device."""
    images = subject.images(split)
    return (~images.void if images.void is not None else torch.ones_like(images.objects())).to(subject.device)


@torch.no_grad()
def feature_maps(subject: Subject, split: Split) -> Float[Tensor, "n d i j"]:
    """Return the last feature map of all images of a split, in their order.

    Raises:
        UserError: If a feature is not finite.
    """
    batches = subject.batches(subject.images(split))
    return finite(torch.cat([subject.backbone.maps(subject.view(pixels)).float() for pixels, _ in batches]), BROKEN)


def _counts(segments: Segments, classes: int) -> Float[Tensor, "k s s"]:
    """Return in how many images each pixel is of each class; void counts as background."""
    others = torch.stack([(segments == number).sum(dim=(0, 1)) for number in range(1, classes)])
    return torch.cat([len(segments) - others.sum(dim=0, keepdim=True), others]).float()
