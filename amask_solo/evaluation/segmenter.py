"""Segmentation with a head that is trained on augmented views, and the backbone with it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR

from amask_solo._random import stream
from amask_solo._types import Images, Scalar
from amask_solo.data.base import VOID, Segments
from amask_solo.evaluation.classifier import Learner, Recipe, train_head
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.segmentation import count_classes, decide, pixel_classes, segmentation_scores
from amask_solo.rules import AT_LEAST_0, POSITIVE, SWITCH, one_of, table, whole

WIDTH, REACH = 256, 6
"""Channels and dilation of the two convolutions in the head of MoCo."""

STRETCH = 2.0
"""Images are shrunk and enlarged by up to this factor."""


class FineTuneSegmentation(Protocol):
    """Train a copy of the backbone with a head on its last feature map to tell the class of each pixel.

    The recipe is MoCo's for Pascal VOC: the last stage dilated; two 3x3 convolutions of 256 channels, dilation 6, with
    batch normalization and ReLU before the 1x1 convolution; SGD with momentum 0.9 and weight decay 1e-4 for 50 epochs
    of batches of 16, at a learning rate of 0.003 that falls to a tenth after 70 and 90 % of them; random sizes from
    half to double, places and flips. Ours are smaller: they train and score on squares of the size of the views, where
    MoCo trains on 513 px and scores whole pictures, so that published numbers are higher.

    ``lr: 0`` and ``head: linear`` train a 1x1 convolution on a frozen backbone, in the same way.

    Cost: ``epochs`` forward and backward passes over the training images; on Pascal VOC at 224 px with a ResNet-50,
    some ten minutes of a GPU.

    Args:
        head: ``fcn``, or ``linear`` for the 1x1 convolution alone.
        dilated: Whether the last stage of a ResNet keeps the size of its map. Only ResNets can.
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: Of the backbone, for batches of 256 images; that of other batches is in proportion. 0 freezes it.
        head_lr: The same for the head.
        weight_decay: Of everything that is trained.

    References:
        He et al., `Momentum Contrast for Unsupervised Visual Representation Learning
        <https://arxiv.org/abs/1911.05722>`_, CVPR 2020, appendix.
    """

    needs = ("objects",)
    rules = table(
        head=one_of("fcn", "linear"),
        dilated=SWITCH,
        epochs=whole(1),
        batch_size=whole(1),
        lr=AT_LEAST_0,
        head_lr=POSITIVE,
        weight_decay=AT_LEAST_0,
    )

    def __init__(
        self,
        *,
        head: str = "fcn",
        dilated: bool = True,
        epochs: int = 50,
        batch_size: int = 16,
        lr: float = 0.048,
        head_lr: float = 0.048,
        weight_decay: float = 1e-4,
    ) -> None:
        self.head, self.dilated = head, dilated
        schedule = partial(MultiStepLR, milestones=[round(share * epochs) for share in (0.7, 0.9)])
        self.recipe = Recipe(
            epochs, batch_size, head_lr=head_lr, backbone_lr=lr, weight_decay=weight_decay, schedule=schedule
        )

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``miou`` and ``pixel_acc``, and of an object and its background also ``iou``, that of the object.

        They are in percent over all pixels of the validation images that are not void; ``miou`` is the mean over the
        classes that occur.

        Raises:
            UserError: If the data have no object masks or no validation images, or nothing can be dilated.
        """
        val, images = pixel_classes(subject, "val"), subject.images("train")
        segmenter = train_head(Segmenter, subject, images, self.recipe, head=self.head, dilated=self.dilated)
        views = (subject.view(pixels) for pixels, _ in subject.batches(subject.images("val")))
        with torch.no_grad():
            found = torch.cat([decide(segmenter(view), view.shape[-2:]) for view in views])
        return segmentation_scores(found, val, count_classes(subject))


class Segmenter(Learner):
    """A head, ``fcn`` or ``linear``, on the last feature map of a copy of the subject's backbone, perhaps dilated."""

    def __init__(self, subject: Subject, recipe: Recipe, *, head: str, dilated: bool) -> None:
        super().__init__(subject, recipe, subject.backbone.dilated() if dilated else subject.backbone)
        self.head = _HEADS[head](self.backbone.num_features, count_classes(subject))
        self._classes = pixel_classes(subject, "train")

    def forward(self, views: Images) -> Float[Tensor, "b k i j"]:
        """Return the scores of the classes at each position of the last map."""
        return self.head(self.backbone.maps(views))

    def loss(self, batch: Sequence[Tensor], *, step: int) -> Scalar:
        """Return the cross entropy of the pixels of one random crop of each image that are not void."""
        index, pixels, _ = batch
        generator = stream("segmenter/views", seed=self.subject.seed, rank=0, step=step, device=pixels.device)
        views, classes = stretch(self.subject.view(pixels), self._classes[index], generator=generator)
        logits = F.interpolate(self(views), size=views.shape[-2:], mode="bilinear", align_corners=False)
        wanted = classes[:, 0].long()
        # The mean over no pixel at all, where every one is void, would be NaN.
        total = F.cross_entropy(logits, wanted, ignore_index=VOID, reduction="sum")
        return total / (wanted != VOID).sum().clamp(min=1)


def stretch(views: Images, classes: Segments, *, generator: torch.Generator) -> tuple[Images, Segments]:
    """Shrink or enlarge each view by up to :data:`STRETCH`, place it at random and flip half of them, classes alike.

    Around a view that is shrunk, there is the mean color of the data set, and void.
    """
    size, flip, *place = torch.rand(4, len(views), generator=generator, device=views.device)
    seen = STRETCH ** (1 - 2 * size)  # the side of what is seen, in sides of the view
    theta = torch.zeros(len(views), 2, 3, device=views.device)
    theta[:, 0, 0] = torch.where(flip < 0.5, -seen, seen)
    theta[:, 1, 1] = seen
    theta[:, :, 2] = (1 - seen).abs()[:, None] * (2 * torch.stack(place, dim=1) - 1)
    grid = F.affine_grid(theta, list(views.shape), align_corners=False)
    # What lies outside is zero, which must mean void.
    marked = F.grid_sample(classes.float() - VOID, grid, mode="nearest", align_corners=False) + VOID
    return F.grid_sample(views, grid, align_corners=False), marked.round().to(torch.uint8)


def _fcn(channels: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (channels, WIDTH):
        convolution = nn.Conv2d(width, WIDTH, 3, padding=REACH, dilation=REACH, bias=False)
        layers += [convolution, nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, classes, 1))


_HEADS: Mapping[str, Callable[[int, int], nn.Module]] = {"fcn": _fcn, "linear": partial(nn.Conv2d, kernel_size=1)}
