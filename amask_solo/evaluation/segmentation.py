"""Where the object is, read off the last feature map."""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from amask_solo._types import Scalar
from amask_solo.data import ImageSet
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Protocol, Split, Subject
from amask_solo.evaluation.regression import minimize
from amask_solo.rules import AT_LEAST_0, table, whole

Maps = Float[Tensor, "n d i j"]
"""A feature vector for each position of each image."""

ObjectMasks = Bool[Tensor, "n 1 s s"]
"""Where the objects are, at the size of the views."""


class Segmentation(Protocol):
    r"""Train a linear probe on the last feature map to tell the object from its background.

    The probe is a 1x1 convolution on the standardized features that scores the object at every position, that is a
    logistic regression. A stock ResNet leaves 2 x 2 positions of an image of 64 pixels, which show no shape; there,
    each position scores r x r parts of its cell, with the smallest r that makes ``resolution`` scores a side. With
    :math:`c` the share of a part that the object covers, the probe minimizes

    .. math:: -\operatorname{mean} \left( c \log p + (1 - c) \log (1 - p) \right)
        + \tfrac{\lambda}{2 r^2} \lVert W \rVert^2,

    which is convex: nothing is drawn at random. Its scores are enlarged bilinearly to the size of the validation
    images. Probing frozen maps with a 1x1 convolution is usual; the parts are ours.

    Args:
        resolution: The fewest scores a side; 1, or a map as large as this, makes a single score of each position.
        weight_decay: The :math:`\lambda` above.
        max_iter: Steps of L-BFGS at most.

    Raises:
        ValueError: If a setting is out of range.
    """

    needs = ("objects",)
    rules = table(resolution=whole(1), weight_decay=AT_LEAST_0, max_iter=whole(1))

    def __init__(self, *, resolution: int = 14, weight_decay: float = 1e-2, max_iter: int = 100) -> None:
        self.resolution, self.weight_decay, self.max_iter = resolution, weight_decay, max_iter

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Score the probe on the validation images.

        Returns:
            In percent over all pixels of all images: ``miou``, the mean intersection over union of object and
            background; ``iou``, that of the object; ``pixel_acc``. Two guesses that need no features get the same
            scores: ``_majority`` calls every pixel what most training pixels are, and ``_mean_mask`` calls every pixel
            what it is in most training images.

        Raises:
            UserError: If the data have no object masks or no validation images.
        """
        train, val = object_masks(subject, "train"), object_masks(subject, "val")
        known = known_pixels(subject, "val")
        logits = self._predict(subject, train)
        enlarge = partial(F.interpolate, size=val.shape[-2:], mode="bilinear", align_corners=False)
        found = torch.cat([enlarge(part) > 0 for part in logits.split(subject.batch_size)])
        likely = train.float().mean(dim=0, keepdim=True)
        guesses = {
            "": found,
            "_majority": (likely.mean() > 0.5).expand_as(val),
            "_mean_mask": (likely > 0.5).expand_as(val),
        }
        return {
            name + kind: score
            for kind, guess in guesses.items()
            for name, score in segmentation_scores(guess[known], val[known]).items()
        }

    def _predict(self, subject: Subject, objects: ObjectMasks) -> Float[Tensor, "m 1 h w"]:
        """Train the probe on the training images and score the validation images."""
        maps = feature_maps(subject, "train")
        mean, std = maps.mean(dim=(0, 2, 3), keepdim=True), maps.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
        parts = -(-self.resolution // min(maps.shape[-2:]))
        grid = (parts * maps.shape[-2], parts * maps.shape[-1])
        covered = F.adaptive_avg_pool2d(objects.float(), grid)
        features = ((maps - mean) / std).movedim(1, -1).flatten(0, 2)
        shares = F.adaptive_avg_pool2d(known_pixels(subject, "train").float(), grid)
        targets, counted = (F.pixel_unshuffle(x, parts).movedim(1, -1).flatten(0, 2) for x in (covered, shares))
        weight, bias = self._fit(features, targets, counted)
        seen = (feature_maps(subject, "val") - mean) / std
        scores = torch.einsum("ndij,dk->nkij", seen, weight) + bias[:, None, None]
        return F.pixel_shuffle(scores, parts)

    @torch.enable_grad()
    def _fit(
        self, features: Float[Tensor, "p d"], targets: Float[Tensor, "p k"], counted: Float[Tensor, "p k"]
    ) -> tuple[Tensor, Tensor]:
        weight = features.new_zeros(features.shape[1], targets.shape[1], requires_grad=True)
        bias = features.new_zeros(targets.shape[1], requires_grad=True)

        def loss() -> Scalar:
            entropy = F.binary_cross_entropy_with_logits(features @ weight + bias, targets, weight=counted)
            return entropy + self.weight_decay / 2 * weight.square().sum(dim=0).mean()

        minimize(loss, [weight, bias], max_iter=self.max_iter)
        return weight.detach(), bias.detach()


def segmentation_scores(found: Bool[Tensor, "..."], truth: Bool[Tensor, "..."]) -> dict[str, float]:
    """Return ``miou``, ``iou`` of the object and ``pixel_acc`` over all pixels, in percent."""
    background, foreground = MulticlassJaccardIndex(2, average="none").to(truth.device)(found.int(), truth.int())
    accuracy = MulticlassAccuracy(2, average="micro").to(truth.device)(found.int(), truth.int())
    scores = {"miou": (background + foreground) / 2, "iou": foreground, "pixel_acc": accuracy}
    return {name: 100 * float(score) for name, score in scores.items()}


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
def feature_maps(subject: Subject, split: Split) -> Maps:
    """Return the last feature map of all images of a split, in their order."""
    batches = subject.batches(subject.images(split))
    return torch.cat([subject.backbone.maps(subject.view(pixels)).float() for pixels, _ in batches])
