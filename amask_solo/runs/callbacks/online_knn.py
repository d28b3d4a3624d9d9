"""How good are the features so far? A nearest-neighbor classifier on the frozen backbone."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import Subset

from amask_solo._types import Images
from amask_solo.evaluation.knn import weighted_knn


class OnlineKNN(Callback):
    """Log ``val_knn_acc1``, in percent, at the end of training epochs.

    It leaves no trace: buffers and random streams are as without it. Images without labels (-1) are
    left out.

    Args:
        train: Yields ``[index, uint8 images, labels]``, not augmented; 10,000 images are plenty,
            see :func:`spread`.
        val: The same of images to classify.
        prepare: Makes normalized images of uint8 images, on the device.
        backbone: The name of the backbone in the model.
        k: How many neighbors vote.
        temperature: The lower, the more the nearest decide.
        every_n_epochs: Every so many epochs; the last epoch always.
    """

    def __init__(
        self,
        train: Iterable,
        val: Iterable,
        *,
        prepare: Callable[[Tensor], Images],
        backbone: str,
        k: int = 20,
        temperature: float = 0.07,
        every_n_epochs: int = 1,
    ) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"Expected every_n_epochs to be at least 1, but got {every_n_epochs}.")
        self.train, self.val, self.prepare, self.backbone = train, val, prepare, backbone
        self.k, self.temperature, self.every_n_epochs = k, temperature, every_n_epochs
        self._unlabeled = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure on one process; checkpoints are written after this."""
        epoch = trainer.current_epoch + 1
        if self._unlabeled or (epoch % self.every_n_epochs and epoch != trainer.max_epochs):
            return
        accuracy = self._accuracy(trainer, pl_module) if trainer.is_global_zero else None
        accuracy = trainer.strategy.broadcast(accuracy)
        if accuracy is None:
            self._unlabeled = True
            rank_zero_info("The images have no labels: no online kNN accuracy.")
            return
        pl_module.log("val_knn_acc1", accuracy, prog_bar=True)

    def _accuracy(self, trainer: Trainer, pl_module: LightningModule) -> float | None:
        network = getattr(pl_module, self.backbone)
        training = network.training
        network.eval()
        # A loader draws a seed from the global stream, which would change the order of
        # training images.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                with trainer.precision_plugin.forward_context():
                    train, labels = self._features(network, self.train, pl_module.device)
                    test, expected = self._features(network, self.val, pl_module.device)
            finally:
                network.train(training)
        if not len(labels) or not len(expected):
            return None
        predicted = weighted_knn(train, labels, test, k=self.k, temperature=self.temperature)
        return 100 * (predicted == expected).float().mean().item()

    def _features(self, network: torch.nn.Module, loader: Iterable, device: torch.device) -> tuple[Tensor, Tensor]:
        features, labels = [], []
        for _, images, targets in loader:
            features.append(network(self.prepare(images.to(device, non_blocking=True))).float())
            labels.append(targets.to(device, non_blocking=True))
        targets = torch.cat(labels)
        return torch.cat(features)[targets >= 0], targets[targets >= 0]


def spread(dataset: Any, at_most: int = 10_000) -> Any:
    """Return at most so many samples of a data set, evenly spread: folders are sorted by class.

    Example:
        >>> [spread(range(100), at_most=4)[i] for i in range(4)]
        [0, 25, 50, 75]
    """
    length = len(dataset)
    if length <= at_most:
        return dataset
    return Subset(dataset, [i * length // at_most for i in range(at_most)])
