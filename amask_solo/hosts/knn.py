"""The host's online kNN evaluation, on a metric interface that today's torchmetrics has."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


def knn_votes(
    train_features: Float[Tensor, "n d"],
    train_targets: Int[Tensor, " n"],
    test_features: Float[Tensor, "m d"],
    *,
    k: int,
    num_classes: int,
    distance: str = "euclidean",
    temperature: float = 0.07,
    eps: float = 1e-5,
) -> Float[Tensor, "m c"]:
    r"""Return how strongly the ``k`` nearest neighbors of each test feature vote for each class.

    A neighbor votes with :math:`1 / (d + \epsilon)` at Euclidean distance :math:`d`, or with
    :math:`\exp(s / \tau)` at cosine similarity :math:`s`.

    References:
        Wu et al., `Unsupervised Feature Learning via Non-Parametric Instance Discrimination
        <https://arxiv.org/abs/1805.01978>`_, CVPR 2018 (cosine); the Euclidean weight is the
        host's.
    """
    if distance == "cosine":
        similarity = F.normalize(test_features) @ F.normalize(train_features).T
        weights = (similarity / temperature).exp()
    else:
        weights = 1 / (torch.cdist(test_features, train_features) + eps)
    nearest, indices = weights.topk(min(k, len(train_features)), dim=1)
    votes = nearest.new_zeros(len(test_features), num_classes)
    return votes.scatter_add_(1, train_targets[indices], nearest)


class WeightedKNN(Metric):
    """Collect the features of an epoch, then score a kNN classifier; drop-in for the host's.

    The host's metric passes an argument that torchmetrics 0.12 removed, and miscounts when a class
    does not occur in the validation set. Samples with the label -1 have no label and are left out.

    Args:
        k: How many neighbors vote.
        distance: ``"euclidean"`` or ``"cosine"``.
    """

    full_state_update = False

    def __init__(self, k: int = 20, distance: str = "euclidean") -> None:
        super().__init__(compute_with_cache=False)
        if distance not in ("euclidean", "cosine"):
            raise ValueError(f"Expected distance to be 'euclidean' or 'cosine', but got '{distance}'.")
        self.k = k
        self.distance = distance
        for name in ("train_features", "train_targets", "test_features", "test_targets"):
            self.add_state(name, default=[], dist_reduce_fx="cat", persistent=False)

    def forward(self, **features: Tensor) -> None:
        """Collect one batch; unlike other metrics, this one cannot score it yet."""
        self.update(**features)

    def update(
        self,
        train_features: Float[Tensor, "b d"] | None = None,
        train_targets: Int[Tensor, " b"] | None = None,
        test_features: Float[Tensor, "b d"] | None = None,
        test_targets: Int[Tensor, " b"] | None = None,
    ) -> None:
        """Collect a batch of training features, of validation features, or of both."""
        for features, targets, into in (
            (train_features, train_targets, (self.train_features, self.train_targets)),
            (test_features, test_targets, (self.test_features, self.test_targets)),
        ):
            if features is not None and targets is not None:
                labeled = targets >= 0
                into[0].append(features.detach()[labeled].float())
                into[1].append(targets.detach()[labeled])

    @torch.no_grad()
    def compute(self) -> tuple[float, float]:
        """Return top-1 and top-5 accuracy in percent, or -1 without features; forget the epoch."""
        collected = (self.train_features, self.train_targets, self.test_features, self.test_targets)
        if any(len(state) == 0 for state in collected):
            return -1.0, -1.0
        train, train_targets, test, targets = (dim_zero_cat(state) for state in collected)
        self.reset()
        if len(train) == 0 or len(test) == 0:
            return -1.0, -1.0
        classes = int(torch.cat([train_targets, targets]).max()) + 1
        hits = torch.zeros(2, device=test.device)
        # About 5 million distances at a time, as in the host.
        for part, wanted in zip(*(x.split(max(1, 5_000_000 // len(train))) for x in (test, targets)), strict=True):
            votes = knn_votes(train, train_targets, part, k=self.k, num_classes=classes, distance=self.distance)
            ranked = votes.argsort(dim=1, descending=True)[:, :5]
            hit = ranked == wanted[:, None]
            hits += torch.stack([hit[:, 0].sum(), hit.sum()])
        top1, top5 = (100 * hits / len(test)).tolist()
        return top1, top5
