"""Multinomial logistic regression on standardized features: seconds, by the shape of the loss along each axis."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amask_solo._types import Scalar

Loss = Callable[[Tensor, Tensor], Scalar]


@dataclass(frozen=True)
class Settings:
    """What all fits of a sweep share.

    Attributes:
        num_classes: Number of classes.
        solver: ``lbfgs`` takes steps on all features until it has converged; ``sgd`` takes a fixed number of steps on
            256 of them, so that logits and gradients need little memory.
        epochs: How often ``sgd`` sees each feature vector.
        generator: Shuffles the features for ``sgd``, on the CPU; a fixed one by default.
    """

    num_classes: int
    solver: str = "lbfgs"
    epochs: int = 30
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))


def fit_linear(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], settings: Settings, *, weight_decay: float
) -> nn.Linear:
    r"""Fit a multinomial logistic regression.

    With standardized features :math:`x_i`, weights :math:`W` and biases :math:`b`, it minimizes

    .. math:: \frac{1}{n} \sum_{i=1}^{n} \mathrm{CE}(W x_i + b, y_i) + \frac{\lambda}{2} \lVert W \rVert^2.

    Args:
        features: One feature vector an image, on the device that does the work; not standardized.
        labels: Class ids from 0.
        settings: Number of classes and solver.
        weight_decay: The :math:`\lambda` above, at least 0.

    Returns:
        The classifier of raw features: logits ``(B, num_classes)``. Standardization is folded into its weights.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> classifier = fit_linear(x, torch.tensor([0, 0, 1, 1]), Settings(2), weight_decay=0.01)
        >>> classifier(torch.tensor([[2.0], [3.0]])).argmax(dim=1)
        tensor([0, 1])
    """
    axes = Axes.of(features)
    return axes.classifier(*solve(axes, labels, settings, weight_decay=weight_decay))


@dataclass(frozen=True)
class Axes:
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
    def of(cls, features: Float[Tensor, "n d"]) -> "Axes":
        """Standardize features and find their axes."""
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


def solve(
    axes: Axes, labels: Tensor, settings: Settings, *, weight_decay: float, start: tuple[Tensor, Tensor] | None = None
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


def _lbfgs(parameters: list[Tensor], x: Tensor, y: Tensor, loss: Loss, settings: Settings) -> None:  # noqa: ARG001
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


def _sgd(parameters: list[Tensor], x: Tensor, y: Tensor, loss: Loss, settings: Settings) -> None:
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
