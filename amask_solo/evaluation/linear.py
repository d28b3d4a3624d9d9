"""A linear classifier on frozen features, fitted once they are known: seconds, not epochs of images."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amask_solo._random import stream
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import accuracy, hold_out

Solver = Literal["lbfgs", "sgd"]
Loss = Callable[[Tensor, Tensor], Tensor]


def fit_linear(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    num_classes: int,
    weight_decay: float,
    solver: Solver = "lbfgs",
    epochs: int = 30,
    start: nn.Linear | None = None,
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
        solver: ``lbfgs`` takes steps on all features until it has converged; ``sgd`` takes a fixed number of
            steps on 256 of them, which bounds the memory that logits need.
        epochs: How often ``sgd`` sees each feature vector.
        start: A classifier to start from, for speed; zeros by default.
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
    if weight_decay < 0:
        raise ValueError(f"Expected weight_decay to be at least 0, but got {weight_decay}.")
    _check_solver(solver)
    x, mean, scale = _standardize(features.detach().float())
    weight = x.new_zeros(num_classes, x.shape[1])
    bias = x.new_zeros(num_classes)
    if start is not None:
        weight = start.weight.detach() * scale
        bias = start.bias.detach() + start.weight.detach() @ mean
    weight.requires_grad_()
    bias.requires_grad_()

    def loss(x: Float[Tensor, "b d"], y: Int[Tensor, " b"]) -> Tensor:
        return F.cross_entropy(x @ weight.T + bias, y) + weight_decay / 2 * weight.square().sum()

    with torch.enable_grad():
        if solver == "lbfgs":
            _lbfgs([weight, bias], x, labels, loss)
        else:
            curvature = _curvature(x) + weight_decay
            _sgd([weight, bias], x, labels, loss, lr=1 / curvature, epochs=epochs, generator=generator)
    return _raw_classifier(weight.detach() / scale, bias.detach(), mean)


class Linear(Protocol):
    """The accuracy of logistic regression on frozen, not augmented features; see :func:`fit_linear`.

    The weight decay is the best on a held-out part of the training images (of equals the strongest); the
    classifier is then fitted on all of them. Validation images choose nothing. Published linear evaluations
    train on augmented images instead, and are usually a little higher.

    Args:
        solver: ``lbfgs`` or ``sgd``.
        weight_decay: The strengths to choose from, in any order.
        held_out: The share of each class that chooses, in (0, 1).
        epochs: How often ``sgd`` sees each image.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self,
        solver: Solver = "lbfgs",
        weight_decay: float | Sequence[float] = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5),
        *,
        held_out: float = 0.1,
        epochs: int = 30,
    ) -> None:
        _check_solver(solver)
        strengths = [weight_decay] if isinstance(weight_decay, (int, float)) else list(weight_decay)
        if not strengths or min(strengths) < 0:
            raise ValueError(f"Expected weight_decay to list numbers of at least 0, but got {strengths}.")
        if not 0 < held_out < 1:
            raise ValueError(f"Expected held_out between 0 and 1, but got {held_out}.")
        if epochs < 1:
            raise ValueError(f"Expected epochs to be at least 1, but got {epochs}.")
        self.solver, self.held_out, self.epochs = solver, held_out, epochs
        self.weight_decay = sorted(strengths, reverse=True)

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``acc1`` and, of more than 5 classes, ``acc5`` of the validation images."""
        features, labels = subject.features("val")
        return accuracy(self.fit(subject)(features).detach(), labels, num_classes=subject.data.num_classes)

    def fit(self, subject: Subject) -> nn.Linear:
        """Return the classifier of the subject's raw features, with the weight decay that held-out images choose."""
        features, labels = subject.features("train")
        chosen, start = self.weight_decay[0], None
        if len(self.weight_decay) > 1:
            chosen, start = self._choose(subject)
        return self._fit(subject, features, labels, weight_decay=chosen, start=start)

    def _choose(self, subject: Subject) -> tuple[float, nn.Linear]:
        """Return the best weight decay and its classifier; the strongest is fastest and warms up the next."""
        features, labels = subject.features("train")
        fitted, held = hold_out(labels, self.held_out, seed=subject.seed)
        best, classifier, result = -1.0, None, None
        for strength in self.weight_decay:
            classifier = self._fit(subject, features[fitted], labels[fitted], weight_decay=strength, start=classifier)
            scores = accuracy(classifier(features[held]).detach(), labels[held], num_classes=subject.data.num_classes)
            if scores["acc1"] > best:
                best, result = scores["acc1"], (strength, classifier)
        return result

    def _fit(
        self, subject: Subject, features: Tensor, labels: Tensor, *, weight_decay: float, start: nn.Linear | None
    ) -> nn.Linear:
        return fit_linear(
            features,
            labels,
            num_classes=subject.data.num_classes,
            weight_decay=weight_decay,
            solver=self.solver,
            epochs=self.epochs,
            start=start,
            generator=stream("linear", seed=subject.seed, rank=0, step=0, device="cpu"),
        )


def _check_solver(solver: str) -> None:
    if solver not in get_args(Solver):
        raise ValueError(f"Expected solver to be 'lbfgs' or 'sgd', but got {solver!r}.")


def _standardize(features: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor, Tensor]:
    mean = features.mean(dim=0)
    std = (features - mean).square().mean(dim=0).sqrt()
    # A feature that hardly ever moves would weigh in at thousands where it does, once in validation.
    scale = std.clamp(min=max(1e-3 * std.mean().item(), 1e-12))
    return (features - mean) / scale, mean, scale


def _raw_classifier(weight: Float[Tensor, "c d"], bias: Float[Tensor, " c"], mean: Float[Tensor, " d"]) -> nn.Linear:
    classifier = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], device=weight.device)
    with torch.no_grad():
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias - weight @ mean)
    return classifier


def _lbfgs(parameters: list[Tensor], x: Tensor, y: Tensor, loss: Loss) -> None:
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=200,
        history_size=20,
        tolerance_grad=1e-5,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x, y)
        value.backward()
        return value

    optimizer.step(closure)


def _sgd(
    parameters: list[Tensor],
    x: Tensor,
    y: Tensor,
    loss: Loss,
    *,
    lr: float,
    epochs: int,
    generator: torch.Generator | None,
) -> None:
    generator = generator or torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).to(x.device).split(256):
            optimizer.zero_grad()
            loss(x[batch], y[batch]).backward()
            optimizer.step()
        schedule.step()


def _curvature(x: Float[Tensor, "n d"]) -> float:
    """Return a bound of the loss's second derivative, half the largest eigenvalue of the features' covariance."""
    some = x[:: -(-len(x) // 4096)]
    return torch.linalg.matrix_norm(some, 2).square().item() / len(some) / 2
