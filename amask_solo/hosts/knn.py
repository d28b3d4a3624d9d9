"""The host's online kNN evaluation for today's torchmetrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from amask_solo.neighbors import cosine_weights, distance_weights, nearest, votes

TEMPERATURE = 0.07
"""The host's constant: neighbors vote by ``exp(similarity / TEMPERATURE)``, or by the inverse of their distance."""


class WeightedKNN(Metric):
    """Collect the features of an epoch, then score a classifier by the votes of the ``k`` nearest neighbors.

    The host's metric passes an argument that torchmetrics 0.12 removed, and miscounts when a class does not occur in
    the validation set. Samples with the label -1 count as unlabeled and are left out.
    """

    full_state_update = False
    train_features: list[Tensor]
    train_targets: list[Tensor]
    test_features: list[Tensor]
    test_targets: list[Tensor]

    def __init__(self, k: int = 20, distance: str = "euclidean") -> None:
        super().__init__(compute_with_cache=False)
        if distance not in ("euclidean", "cosine"):
            raise ValueError(f"Expected distance to be 'euclidean' or 'cosine', but got '{distance}'.")
        self.k = k
        self.distance = distance
        for name in ("train_features", "train_targets", "test_features", "test_targets"):
            self.add_state(name, default=[], dist_reduce_fx="cat", persistent=False)

    def forward(self, **features: Tensor) -> None:
        """Collect one batch; unlike other metrics, this one cannot score a batch alone."""
        self.update(**features)

    def update(self, **batch: Float[Tensor, "b d"] | Int[Tensor, " b"]) -> None:
        """Collect a batch of training features and targets, of validation features and targets, or of both."""
        for name, values in batch.items():
            getattr(self, name).append(values.detach().float() if name.endswith("features") else values.detach())

    @contextmanager
    def sync_context(self, *args: Any, **options: Any) -> Iterator[None]:
        """Synchronize the features of all processes, and reset the metric afterwards."""
        with super().sync_context(*args, **options):
            yield
        self.reset()

    @torch.no_grad()
    def compute(self) -> tuple[float, float]:
        """Return top-1 and top-5 accuracy in percent, or -1 without features."""
        collected = (self.train_features, self.train_targets, self.test_features, self.test_targets)
        if not all(len(state) for state in collected):
            return -1.0, -1.0
        train, train_targets, test, targets = (dim_zero_cat(state) for state in collected)
        # Samples are left out here, once, since a boolean index waits for the device.
        train, train_targets = train[train_targets >= 0], train_targets[train_targets >= 0]
        test, targets = test[targets >= 0], targets[targets >= 0]
        if len(train) == 0 or len(test) == 0:
            return -1.0, -1.0
        classes = int(torch.cat([train_targets, targets]).max()) + 1
        hits = torch.zeros(2, device=test.device)
        chunk = max(1, 5_000_000 // len(train))  # about so many distances at a time, as in the host
        found = nearest(train, test, self.k, distance=self.distance, chunk=chunk)
        for (closeness, index), wanted in zip(found, targets.split(chunk), strict=True):
            cosine = self.distance == "cosine"
            weights = cosine_weights(closeness, TEMPERATURE) if cosine else distance_weights(closeness)
            ranked = votes(weights, train_targets[index], num_classes=classes).argsort(dim=1, descending=True)[:, :5]
            hit = ranked == wanted[:, None]
            hits += torch.stack([hit[:, 0].sum(), hit.sum()])
        top1, top5 = (100 * hits / len(test)).tolist()
        return top1, top5
