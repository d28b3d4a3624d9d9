"""LARS: SGD whose step in each layer is proportional to the size of that layer's weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def lars_direction(
    weight: Tensor,
    grad: Tensor,
    *,
    lr: int | float,
    weight_decay: int | float,
    eta: int | float,
    eps: int | float,
    clip_lr: bool,
) -> Tensor:
    r"""Return the gradient of one layer, with weight decay, rescaled to the size of the layer.

    With weight :math:`w`, gradient :math:`g` and weight decay :math:`\lambda`,

    .. math:: \eta \frac{\|w\|}{\|g\| + \lambda \|w\| + \epsilon} (g + \lambda w).

    With ``clip_lr``, the factor is divided by ``lr`` and capped at 1, so that no layer moves faster than under SGD.
    If a norm is zero, the gradient is returned as it is, without weight decay, as in the host.
    """
    weight_norm, grad_norm = weight.norm(), grad.norm()
    trust = eta * weight_norm / (grad_norm + weight_decay * weight_norm + eps)
    if clip_lr:
        trust = (trust / lr).clamp(max=1) if lr > 0 else torch.ones_like(trust)
    # `where` chooses on the device; an `if` on the norms would wait for the GPU once per layer.
    scaled = trust * (grad + weight_decay * weight)
    return torch.where((weight_norm > 0) & (grad_norm > 0), scaled, grad)


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling, with the options and defaults of the current host.

    The release wraps SGD instead. Under automatic optimization this scaling is lost without an error, because it is
    applied before the gradients exist.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        momentum: Of the rescaled gradients; above 0 with ``nesterov``.
        weight_decay: L2 penalty, part of the rescaled gradient.
        nesterov: Whether the momentum is Nesterov's.
        eta: The trust coefficient.
        eps: Keeps the quotient of norms finite.
        clip_lr: Never move a layer faster than SGD would.
        exclude_bias_n_norm: Update vectors (biases and normalization) by plain SGD without weight decay.

    Raises:
        ValueError: If ``nesterov`` is set without momentum.

    References:
        You et al., `Large Batch Training of Convolutional Networks <https://arxiv.org/abs/1708.03888>`_, 2017.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: int | float,
        *,
        momentum: int | float = 0.0,
        weight_decay: int | float = 0.0,
        nesterov: bool = False,
        eta: int | float = 1e-3,
        eps: int | float = 1e-8,
        clip_lr: bool = False,
        exclude_bias_n_norm: bool = False,
    ) -> None:
        if nesterov and momentum <= 0:
            raise ValueError(f"Expected momentum above 0 with nesterov, but got {momentum}.")
        sgd = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        own = {"eta": eta, "eps": eps, "clip_lr": clip_lr, "exclude_bias_n_norm": exclude_bias_n_norm}
        super().__init__(params, sgd | own)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate the closure, in which Lightning computes the gradients, and update the weights."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: Tensor, step: Tensor, group: dict[str, Any]) -> None:
        if weight.ndim != 1 or not group["exclude_bias_n_norm"]:
            options = {name: group[name] for name in ("lr", "weight_decay", "eta", "eps", "clip_lr")}
            step = lars_direction(weight, step, **options)
        if group["momentum"]:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(step)
            velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
            step = step + group["momentum"] * velocity if group["nesterov"] else velocity
        weight.add_(step, alpha=-group["lr"])
