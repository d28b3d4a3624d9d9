"""A linear classifier on a backbone, trained on augmented views: the backbone frozen, or with it."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amask_solo._random import stream
from amask_solo._types import Images, Scalar
from amask_solo.augment.views import Filter, Views
from amask_solo.data import ImageData, ImageSet, make_loader
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.scores import accuracy

MOMENTUM = 0.9


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained, by SGD with momentum.

    Attributes:
        epochs: Passes over the images.
        batch_size: Images a step; a smaller set is one batch.
        head_lr: Learning rate of the linear layer for batches of 256 images; that of other batches
            is in proportion to their size.
        backbone_lr: The same for the backbone; 0 freezes it, its statistics of batch normalization too.
        weight_decay: Of everything that is trained.
        schedule: Makes the schedule of the learning rates, which steps after each epoch.
    """

    epochs: int
    batch_size: int
    head_lr: float
    backbone_lr: float
    weight_decay: float
    schedule: Callable[[Optimizer], LRScheduler]


class Classifier(LightningModule):
    """A linear layer on a backbone.

    Args:
        backbone: Is trained, or frozen, in place.
        data: The data set, for its number of classes, statistics and image size.
        recipe: How to train.
        batch_size: Images a step, for the scale of the learning rates.
        seed: Of the random crops and flips.
        view_filter: What the crops pass last.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: ImageData,
        recipe: Recipe,
        *,
        batch_size: int,
        seed: int,
        view_filter: Filter | None = None,
    ) -> None:
        super().__init__()
        trained = recipe.backbone_lr > 0
        self.backbone = backbone.requires_grad_(trained).train(trained)
        self.head = nn.Linear(backbone.num_features, data.num_classes)
        self._recipe, self._scale, self._seed = recipe, batch_size / 256, seed
        crops = {"rrc": {}, "horizontal_flip": {"prob": 0.5}, "crop_size": data.image_size, "num_crops": 1}
        self._views = Views([crops], mean=data.mean, std=data.std, view_filter=view_filter)

    def forward(self, views: Images) -> Float[Tensor, "b classes"]:
        """Return the logits of normalized views."""
        return self.head(self.backbone(views))

    def training_step(self, batch: list[Tensor], step: int) -> Scalar:  # noqa: ARG002
        """Return the cross entropy of one random crop of each image."""
        _, pixels, labels = batch
        generator = stream("classifier/views", seed=self._seed, rank=0, step=self.global_step, device=pixels.device)
        (views,) = self._views(pixels, generator=generator)
        return F.cross_entropy(self(views), labels)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return SGD with a learning rate of its own for the backbone, and the schedule."""
        recipe = self._recipe
        groups = [{"params": self.head.parameters(), "lr": recipe.head_lr * self._scale}]
        if recipe.backbone_lr > 0:
            groups.append({"params": self.backbone.parameters(), "lr": recipe.backbone_lr * self._scale})
        optimizer = SGD(groups, momentum=MOMENTUM, weight_decay=recipe.weight_decay)
        return [optimizer], [recipe.schedule(optimizer)]


def train_classifier(subject: Subject, images: ImageSet, recipe: Recipe) -> Classifier:
    """Train a classifier on a copy of the subject's backbone.

    Every image is seen once an epoch, in random resized crops and horizontal flips; an incomplete last
    batch is left out.

    Args:
        subject: Gives the backbone, the device and the seed.
        images: What to train on, all with labels.
        recipe: How to train.

    Returns:
        The classifier of the last epoch, in evaluation mode on the device of the subject.
    """
    batch_size = min(recipe.batch_size, len(images))
    device = subject.device
    loader = make_loader(images, batch_size=batch_size, shuffle=True, drop_last=True, seed=subject.seed, device=device)
    # The first weights of the head, and the backbone's dropout if it has any, come from the global stream.
    with torch.random.fork_rng(range(torch.cuda.device_count())), _silence():
        torch.manual_seed(subject.seed)
        backbone = deepcopy(subject.backbone)
        settings = {"batch_size": batch_size, "seed": subject.seed, "view_filter": subject.view_filter}
        classifier = Classifier(backbone, subject.data, recipe, **settings)
        _trainer(device, recipe.epochs, _Told(subject)).fit(classifier, loader)
    return classifier.to(device).eval()


@torch.no_grad()
def val_scores(subject: Subject, classifier: Classifier, images: ImageSet) -> dict[str, float]:
    """Return the accuracy on the views that validation sees, in percent."""
    logits = torch.cat([classifier(subject.view(pixels)) for pixels, _ in subject.batches(images)])
    return accuracy(logits, images.labels.to(logits.device), num_classes=subject.data.num_classes)


class _Told(Callback):
    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        del pl_module
        self._subject.tell(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")


def _trainer(device: torch.device, epochs: int, told: Callback) -> Trainer:
    return Trainer(
        callbacks=[told],
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning from announcing devices and from advising on loaders, for one training."""
    loggers = [logging.getLogger(f"lightning.{name}.utilities.rank_zero") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
