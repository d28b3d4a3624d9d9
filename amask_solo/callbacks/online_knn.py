"""Measure the features during training by a nearest-neighbor classifier on the frozen backbone."""

import math
from collections.abc import Callable, Iterable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from amask_solo._modes import evaluating
from amask_solo._types import Images
from amask_solo.callbacks.epochs import is_due
from amask_solo.data import ImageSet
from amask_solo.data.subsets import labeled_places, stratified_split
from amask_solo.evaluation.knn import weighted_knn


class OnlineKNN(Callback):
    """Log ``val_knn_acc1``, in percent, at the end of training epochs.

    There are no side effects: buffers and random streams stay unchanged.

    Args:
        train: The images that vote; at most 10,000 labeled ones are used, see :func:`spread`.
        val: The images to classify, chosen likewise. Both sets have labeled images.
        load: Makes a loader that yields ``[index, uint8 images, labels]`` and can be iterated repeatedly.
        prepare: Makes normalized images of uint8 images, on the device.
        backbone: The name of the backbone in the model.
        k: The number of neighbors that vote.
        every_n_epochs: The number of epochs between two measurements; the last epoch is always measured.
    """

    measures = ("val_knn_acc1",)

    def __init__(
        self,
        train: ImageSet,
        val: ImageSet,
        *,
        load: Callable[[ImageSet], Iterable],
        prepare: Callable[[Tensor], Images],
        backbone: str,
        k: int = 20,
        every_n_epochs: int = 1,
    ) -> None:
        self.train, self.val, self.load, self.prepare, self.backbone = train, val, load, prepare, backbone
        self.k, self.every_n_epochs = k, every_n_epochs
        self._loaders: list[Iterable] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Choose the images now, so that a broken file is found before the first epoch."""
        if trainer.is_global_zero:
            self._loaders = [self.load(spread(part)) for part in (self.train, self.val)]

    def is_due(self, trainer: Trainer) -> bool:
        """Return whether the present epoch is measured."""
        return is_due(trainer, every=self.every_n_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure on one process, before checkpoints are written."""
        if not self.is_due(trainer):
            return
        accuracy = self._accuracy(trainer, pl_module) if trainer.is_global_zero else math.nan
        pl_module.log("val_knn_acc1", trainer.strategy.broadcast(accuracy), prog_bar=True)

    def _accuracy(self, trainer: Trainer, pl_module: LightningModule) -> float:
        network = getattr(pl_module, self.backbone)
        # A loader draws a seed from the global stream, which would change the order of the training images.
        precision = trainer.precision_plugin.forward_context()
        with evaluating(network), torch.no_grad(), torch.random.fork_rng(devices=[]), precision:
            seen = [self._features(network, loader, pl_module.device) for loader in self._loaders]
        (train, labels), (test, expected) = seen
        predicted = weighted_knn(train, labels, test, k=self.k)
        return 100 * (predicted == expected).float().mean().item()

    def _features(self, network: torch.nn.Module, loader: Iterable, device: torch.device) -> tuple[Tensor, Tensor]:
        features, labels = [], []
        for _, images, targets in loader:
            features.append(network(self.prepare(images.to(device, non_blocking=True))).float())
            labels.append(targets.to(device, non_blocking=True))
        return torch.cat(features), torch.cat(labels)


def spread(images: ImageSet, at_most: int = 10_000) -> ImageSet:
    """Return a limited number of labeled images, always the same, with the same shares of each class as all have."""
    labeled = labeled_places(images.labels)
    if len(labeled) > at_most:
        _, few = stratified_split(images.labels[labeled], at_most / len(labeled), seed=0)
        labeled = labeled[few]
    return images if len(labeled) == len(images) else images.select(labeled)
