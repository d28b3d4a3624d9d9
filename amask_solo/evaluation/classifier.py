"""Train a head on a backbone by gradient descent on augmented views: the backbone frozen, or with it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amask_solo._random import seeded, stream
from amask_solo._types import Images, Scalar
from amask_solo.augment.views import Views
from amask_solo.data import ImageSet, make_loader
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import BROKEN, Subject, finite
from amask_solo.evaluation.scores import val_accuracy

DIVERGED = "The training of this protocol diverged; lower its learning rates, such as protocol.NAME.lr."

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = MappingProxyType(
    {"sgd": partial(SGD, momentum=0.9), "adamw": AdamW}
)


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

    def make_optimizer(self, learner: "Learner", *, batch_size: int) -> Optimizer:
        """Return the optimizer of what is trained, with learning rates for batches of this size."""
        scale = batch_size / 256
        groups: list[dict[str, Any]] = [{"params": learner.head.parameters(), "lr": self.head_lr * scale}]
        if self.backbone_lr > 0:
            groups += self._layers(learner.backbone, self.backbone_lr * scale)
        return OPTIMIZERS[self.optimizer](groups, weight_decay=self.weight_decay)

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


class Learner(nn.Module, ABC):
    """A head on a copy of a backbone that a recipe trains or freezes; a subclass makes it and says what it learns."""

    head: nn.Module

    def __init__(self, subject: Subject, recipe: Recipe, backbone: Backbone) -> None:
        super().__init__()
        trained = recipe.backbone_lr > 0
        self.subject = subject
        self.backbone = deepcopy(backbone).requires_grad_(trained).train(trained)

    @abstractmethod
    def loss(self, batch: Sequence[Tensor], *, step: int) -> Scalar:
        """Return the loss of a batch of ``[indexes, uint8 images, labels]`` in a step, from 0."""


Trained = TypeVar("Trained", bound=Learner)


class Classifier(Learner):
    """A linear layer on a copy of the subject's backbone."""

    def __init__(self, subject: Subject, recipe: Recipe) -> None:
        super().__init__(subject, recipe, subject.backbone)
        data = subject.data
        self.head = nn.Linear(self.backbone.num_features, data.num_classes)
        crops = {"rrc": {}, "horizontal_flip": {"prob": 0.5}, "crop_size": data.image_size, "num_crops": 1}
        self._views = Views([crops], mean=data.mean, std=data.std, view_filter=subject.view_filter)

    def forward(self, views: Images) -> Float[Tensor, "b classes"]:
        """Return the logits of normalized views."""
        return self.head(self.backbone(views))

    def loss(self, batch: Sequence[Tensor], *, step: int) -> Scalar:
        """Return the cross entropy of one random crop of each image."""
        _, pixels, labels = batch
        generator = stream("classifier/views", seed=self.subject.seed, rank=0, step=step, device=pixels.device)
        (views,) = self._views(pixels, generator=generator)
        return F.cross_entropy(self(views), labels)


def train_head(kind: type[Trained], subject: Subject, images: ImageSet, recipe: Recipe, **settings: Any) -> Trained:
    """Train a learner, which is made with the ``settings``, and return it in evaluation mode on the subject's device.

    It sees every image once an epoch; an incomplete last batch is left out. No epoch is chosen: it is the last one.

    Raises:
        UserError: If weights of the subject's backbone are not finite, or those of the learner at the end.
    """
    check_finite(subject.backbone, BROKEN)
    batch_size, device = min(recipe.batch_size, len(images)), subject.device
    loader: Any = make_loader(
        images, batch_size=batch_size, shuffle=True, drop_last=True, seed=subject.seed, device=device
    )
    # The first weights of the head, and the backbone's dropout if it has any, come from the global stream.
    with seeded(subject.seed), torch.enable_grad():
        learner = kind(subject, recipe, **settings).to(device)
        optimizer = recipe.make_optimizer(learner, batch_size=batch_size)
        schedule = recipe.schedule(optimizer)
        for epoch in range(recipe.epochs):
            loader.sampler.set_epoch(epoch)
            for number, batch in enumerate(loader, start=epoch * len(loader)):
                optimizer.zero_grad()
                learner.loss([part.to(device) for part in batch], step=number).backward()
                optimizer.step()
            schedule.step()
            subject.tell(f"epoch {epoch + 1} of {recipe.epochs}")
    check_finite(learner, DIVERGED)
    return learner.eval()


def check_finite(network: nn.Module, otherwise: str) -> None:
    """Raise a ``UserError`` if weights or statistics are not finite: the first class would be the highest of NaN."""
    for values in network.state_dict().values():
        finite(values, otherwise)


@torch.no_grad()
def val_scores(subject: Subject, classifier: Classifier, images: ImageSet) -> dict[str, float]:
    """Return the accuracy on the views that validation sees, in percent."""
    logits = torch.cat([classifier(subject.view(pixels)) for pixels, _ in subject.batches(images)])
    return val_accuracy(subject, logits, images.labels.to(logits.device))
