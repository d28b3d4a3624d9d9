"""Train a head on a backbone by gradient descent on augmented views: the backbone frozen, or with it."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch import LightningModule, Trainer
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amask_solo._random import stream
from amask_solo._types import Images, Scalar
from amask_solo.augment.views import Views
from amask_solo.data import ImageSet, make_loader
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.scores import val_accuracy
from amask_solo.lightning_logs import heard

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = MappingProxyType(
    {"sgd": partial(SGD, momentum=0.9), "adamw": AdamW}
)

Trained = TypeVar("Trained", bound=LightningModule)


@dataclass(frozen=True)
class Recipe:
    """How a head is trained, and the backbone with it.

    Attributes:
        epochs: Passes over the images.
        batch_size: Images a step; a smaller set is one batch.
        head_lr: Learning rate of the head for batches of 256 images, scaled in proportion for others.
        backbone_lr: The same for the backbone; 0 freezes it, its statistics of batch normalization too.
        weight_decay: Of everything that is trained.
        schedule: Makes the schedule of the learning rates, which steps after each epoch.
        optimizer: ``sgd`` with momentum, or ``adamw``.
        layer_decay: Each layer learns by this factor slower than the one behind it, and no decay reaches biases, norms
            and positions, as timm has it; ``None`` treats all of them alike.
    """

    epochs: int
    batch_size: int
    head_lr: float
    backbone_lr: float
    weight_decay: float
    schedule: Callable[[Optimizer], LRScheduler]
    optimizer: str = "sgd"
    layer_decay: float | None = None

    def copy(self, backbone: Backbone) -> Backbone:
        """Return a copy of a backbone that is trained, or frozen."""
        trained = self.backbone_lr > 0
        return deepcopy(backbone).requires_grad_(trained).train(trained)

    def optimizers(
        self, head: nn.Module, backbone: Backbone, *, batch_size: int
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return the optimizer, with learning rates for batches of this size, and its schedule, for Lightning."""
        scale = batch_size / 256
        groups: list[dict[str, Any]] = [{"params": head.parameters(), "lr": self.head_lr * scale}]
        if self.backbone_lr > 0:
            groups += self._layers(backbone, self.backbone_lr * scale)
        optimizer = OPTIMIZERS[self.optimizer](groups, weight_decay=self.weight_decay)
        return [optimizer], [self.schedule(optimizer)]

    def _layers(self, backbone: Backbone, lr: float) -> list[dict[str, Any]]:
        if self.layer_decay is None:
            return [{"params": backbone.parameters(), "lr": lr}]
        undecayed: set[str] = getattr(backbone.model, "no_weight_decay", set)()
        found = param_groups_layer_decay(
            backbone.model, self.weight_decay, no_weight_decay_list=undecayed, layer_decay=self.layer_decay
        )
        # timm's last layer is the classifier, which here is a head of its own: the one before it comes first.
        behind = lr * self.layer_decay
        decay = "weight_decay"
        return [{"params": group["params"], decay: group[decay], "lr": behind * group["lr_scale"]} for group in found]


class Classifier(LightningModule):
    """A linear layer on a copy of a backbone.

    Args:
        subject: Gives the backbone, the data and their views, and the seed of the random crops and flips.
        recipe: How to train.
        batch_size: Images a step, for the scale of the learning rates.
    """

    def __init__(self, subject: Subject, recipe: Recipe, *, batch_size: int) -> None:
        super().__init__()
        data = subject.data
        self.backbone = recipe.copy(subject.backbone)
        self.head = nn.Linear(self.backbone.num_features, data.num_classes)
        self._subject, self._recipe, self._batch_size = subject, recipe, batch_size
        crops = {"rrc": {}, "horizontal_flip": {"prob": 0.5}, "crop_size": data.image_size, "num_crops": 1}
        self._views = Views([crops], mean=data.mean, std=data.std, view_filter=subject.view_filter)

    def forward(self, views: Images) -> Float[Tensor, "b classes"]:
        """Return the logits of normalized views."""
        return self.head(self.backbone(views))

    def training_step(self, batch: list[Tensor], step: int) -> Scalar:  # noqa: ARG002
        """Return the cross entropy of one random crop of each image."""
        _, pixels, labels = batch
        seed = self._subject.seed
        generator = stream("classifier/views", seed=seed, rank=0, step=self.global_step, device=pixels.device)
        (views,) = self._views(pixels, generator=generator)
        return F.cross_entropy(self(views), labels)

    def on_train_epoch_end(self) -> None:
        """Tell how far the training is."""
        self._subject.tell(f"epoch {self.current_epoch + 1} of {self.trainer.max_epochs}")

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return the optimizer and the schedule of the recipe."""
        return self._recipe.optimizers(self.head, self.backbone, batch_size=self._batch_size)


def train_classifier(subject: Subject, images: ImageSet, recipe: Recipe) -> Classifier:
    """Train a classifier on a copy of the subject's backbone; see :func:`train`.

    Args:
        subject: Gives the backbone, the device and the seed.
        images: What to train on, all with labels.
        recipe: How to train.
    """
    return train(partial(Classifier, subject, recipe), subject, images, recipe)


def train(make: Callable[..., Trained], subject: Subject, images: ImageSet, recipe: Recipe) -> Trained:
    """Train a module in which every image is seen once an epoch; an incomplete last batch is left out.

    Args:
        make: Builds the module, ``make(batch_size=...)``, which gets batches of ``[indexes, uint8 images, labels]``.
        subject: Gives the device and the seed.
        images: What to train on.
        recipe: How long, and by which batches.

    Returns:
        The module of the last epoch, in evaluation mode on the device of the subject.
    """
    batch_size = min(recipe.batch_size, len(images))
    device = subject.device
    loader = make_loader(images, batch_size=batch_size, shuffle=True, drop_last=True, seed=subject.seed, device=device)
    # The first weights of the head, and the backbone's dropout if it has any, come from the global stream.
    with torch.random.fork_rng(range(torch.cuda.device_count())), _silence():
        torch.manual_seed(subject.seed)
        module = make(batch_size=batch_size)
        trainer = Trainer(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            max_epochs=recipe.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, loader)
    return module.to(device).eval()


@torch.no_grad()
def val_scores(subject: Subject, classifier: Classifier, images: ImageSet) -> dict[str, float]:
    """Return the accuracy on the views that validation sees, in percent."""
    logits = torch.cat([classifier(subject.view(pixels)) for pixels, _ in subject.batches(images)])
    return val_accuracy(subject, logits, images.labels.to(logits.device))


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning from announcing devices and from advising on loaders, for one training."""
    with heard(lambda record: record.levelno >= logging.ERROR), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        yield
