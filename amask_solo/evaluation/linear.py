"""A linear classifier on frozen features, fitted once they are known: seconds, not epochs of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo._types import Scalar
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import accuracy, hold_out, val_accuracy
from amask_solo.rules import AT_LEAST_0, BETWEEN, check_values, one_of, one_or_several, table, whole

Loss = Callable[[Tensor, Tensor], Scalar]


def fit_linear(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    num_classes: int,
    weight_decay: float,
    solver: str = "lbfgs",
    epochs: int = 30,
    generator: torch.Generator | None = None,
) -> nn.Linear:
    r"""Fit a multinomial logistic regression.

    With standardized features :math:`x_i`, weights :math:`W` and biases :math:`b`, it minimizes

    .. math:: \frac{1}{n} \sum_{i=1}^{n} \mathrm{CE}(W x_i + b, y_i) + \frac{\lambda}{2} \lVert W \rVert^2.

    Args:
        features: One feature vector an image, on the device that does the work; not standardized.
        labels: Class ids from 0.
        num_classes: Number of classes.
        weight_decay: The :math:`\lambda` above.
        solver: ``lbfgs`` takes steps on all features until it has converged; ``sgd`` takes a fixed number of steps on
            256 of them, so that logits and gradients need little memory.
        epochs: How often ``sgd`` sees each feature vector.
        generator: Shuffles the features for ``sgd``, on the CPU; a fixed one by default.

    Returns:
        The classifier of raw features: logits ``(B, num_classes)``. Standardization is folded into its weights.

    Raises:
        ValueError: If ``weight_decay`` is negative or ``solver`` unknown.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> classifier = fit_linear(x, torch.tensor([0, 0, 1, 1]), num_classes=2, weight_decay=0.01)
        >>> classifier(torch.tensor([[2.0], [3.0]])).argmax(dim=1)
        tensor([0, 1])
    """
    check_values({"solver": solver}, Linear.rules)
    settings = _Settings(num_classes, solver, epochs, generator or torch.Generator().manual_seed(0))
    axes = _Axes.of(features)
    return axes.classifier(*_solve(axes, labels, settings, weight_decay=weight_decay))


class Linear(Protocol):
    """The accuracy of logistic regression on frozen features of images as they are; see :func:`fit_linear`.

    The weight decay is the best on a held-out part of the training images, or the strongest of equals; the classifier
    is then fitted on all training images. Validation images choose nothing. Published linear evaluations train on
    augmented images instead, and usually score a little higher.

    Args:
        solver: ``lbfgs`` or ``sgd``.
        weight_decay: The strengths to choose from, in any order.
        held_out: The share of each class that chooses, in (0, 1).
        epochs: How often ``sgd`` sees each image.

    Raises:
        ValueError: If a setting is out of range.
    """

    needs = ("labels",)
    words = table(acc1_small="accuracy on small digits", acc1_unmarked="accuracy on unmarked images")
    rules = table(
        solver=one_of("lbfgs", "sgd"), weight_decay=one_or_several(AT_LEAST_0), held_out=BETWEEN, epochs=whole(1)
    )

    def __init__(
        self,
        solver: str = "lbfgs",
        weight_decay: float | Sequence[float] = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5),
        *,
        held_out: float = 0.1,
        epochs: int = 30,
    ) -> None:
        strengths = [weight_decay] if isinstance(weight_decay, (int, float)) else list(weight_decay)
        self.solver, self.held_out, self.epochs = solver, held_out, epochs
        self.weight_decay = sorted(strengths, reverse=True)

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``acc1`` and, of more than 5 classes, ``acc5`` of the validation images.

        If the data have variants, ``acc1_NAME`` is the accuracy of a classifier fitted and scored on each.
        """
        classifier = self.fit(subject)
        features, labels = subject.features("val")
        scores = val_accuracy(subject, classifier(features), labels)
        for name, data in subject.data.variants.items():
            variant = replace(subject, data=data, right={}, _features={})
            scores[f"acc1_{name}"] = self(variant)["acc1"]
            subject.right[f"acc1_{name}"] = variant.right["acc1"]
        return scores

    def fit(self, subject: Subject) -> nn.Linear:
        """Return the classifier of raw features, with the weight decay that held-out training images choose."""
        features, labels = subject.features("train")
        generator = stream("linear", seed=subject.seed, rank=0, step=0, device="cpu")
        settings = _Settings(subject.data.num_classes, self.solver, self.epochs, generator)
        swept = len(self.weight_decay) > 1
        strength = self._choose(subject, settings) if swept else self.weight_decay[0]
        axes = _Axes.of(features)
        return axes.classifier(*_solve(axes, labels, settings, weight_decay=strength))

    def _choose(self, subject: Subject, settings: "_Settings") -> float:
        """Return the best weight decay; each fit starts where a stronger one ended, and the strongest is fastest."""
        features, labels = subject.features("train")
        train, held = hold_out(labels, self.held_out, seed=subject.seed)
        axes, found, scores = _Axes.of(features[train]), None, {}
        for strength in self.weight_decay:
            found = _solve(axes, labels[train], settings, weight_decay=strength, start=found)
            logits = axes.classifier(*found)(features[held]).detach()
            scores[strength] = accuracy(logits, labels[held], num_classes=settings.num_classes)["acc1"]
        return max(scores, key=scores.__getitem__)


@dataclass(frozen=True)
class _Settings:
    """What all fits of a sweep share."""

    num_classes: int
    solver: str
    epochs: int
    generator: torch.Generator


@dataclass(frozen=True)
class _Axes:
    """Standardized features, turned onto the axes of their covariance.

    A rotation changes neither the optimum nor the penalty, and shows how steep the loss is along each axis.

    Attributes:
        x: The features on these axes ``(n, d)``.
        variance: Their mean squares ``(d,)``.
        mean: Means of the raw features ``(d,)``.
        to_axes: Takes raw features without their means to the axes ``(d, d)``.
    """

    x: Tensor
    variance: Tensor
    mean: Tensor
    to_axes: Tensor

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> "_Axes":
        features = features.detach().float()
        mean = features.mean(dim=0)
        centered = features - mean
        std = centered.square().mean(dim=0).sqrt()
        # A feature that moves only by rounding would be blown up where it does move; an infinite unit drops it.
        moves = (std > 1e-5 * mean.abs()) & (std > 1e-6 * std.max())
        scale = std.where(moves, torch.inf)
        standardized = centered / scale
        variance, axes = torch.linalg.eigh(standardized.T @ standardized / len(features))
        return cls(standardized @ axes, variance.clamp(min=0), mean, axes / scale[:, None])

    def classifier(self, weight: Float[Tensor, "c d"], bias: Float[Tensor, " c"]) -> nn.Linear:
        """Return the classifier of raw features that weights on these axes stand for."""
        raw = weight @ self.to_axes.T
        classifier = nn.utils.skip_init(nn.Linear, raw.shape[1], raw.shape[0], device=raw.device)
        with torch.no_grad():
            classifier.weight.copy_(raw)
            classifier.bias.copy_(bias - raw @ self.mean)
        return classifier


def _solve(
    axes: _Axes, labels: Tensor, settings: _Settings, *, weight_decay: float, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return weights on the axes and biases.

    Cross entropy bends by at most half the variance along an axis (Böhning, 1992). Steps along each axis are as long as
    that allows. Plain steps would crawl, since features of a network vary a thousand times more along some axes.
    """
    if weight_decay < 0:
        raise ValueError(f"Expected weight_decay to be at least 0, but got {weight_decay}.")
    steepest = axes.variance.max().item()
    unit = (axes.variance / 2 + weight_decay + 1e-6 * steepest + 1e-12).rsqrt()
    if start is None:
        start = (axes.x.new_zeros(settings.num_classes, len(unit)), axes.x.new_zeros(settings.num_classes))
    steps, bias = (start[0] / unit).requires_grad_(), start[1].clone().requires_grad_()

    def loss(x: Tensor, y: Tensor) -> Scalar:
        weight = steps * unit
        return F.cross_entropy(x @ weight.T + bias, y) + weight_decay / 2 * weight.square().sum()

    with torch.enable_grad():
        _SOLVERS[settings.solver]([steps, bias], axes.x, labels, loss, settings)
    return steps.detach() * unit, bias.detach()


def _lbfgs(parameters: list[Tensor], x: Tensor, y: Tensor, loss: Loss, settings: _Settings) -> None:  # noqa: ARG001
    tolerances = {"tolerance_grad": 1e-4, "tolerance_change": 1e-7}
    minimize(lambda: loss(x, y), parameters, max_iter=200, history_size=20, **tolerances)


def minimize(loss: Callable[[], Scalar], parameters: list[Tensor], **settings: Any) -> None:
    """Lower a smooth loss by L-BFGS with a line search; the settings are those of :class:`torch.optim.LBFGS`."""
    optimizer = torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe", **settings)

    def closure() -> Scalar:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


def _sgd(parameters: list[Tensor], x: Tensor, y: Tensor, loss: Loss, settings: _Settings) -> None:
    # The whole set allows steps of 1 on the axes' own scale; 256 of 2048 dimensions are up to 15 times as steep.
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(x), generator=settings.generator).to(x.device).split(256):
            optimizer.zero_grad()
            loss(x[batch], y[batch]).backward()
            optimizer.step()
        schedule.step()


_SOLVERS = {"lbfgs": _lbfgs, "sgd": _sgd}
