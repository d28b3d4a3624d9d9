"""Adversarial pixels: a perturbation too small to see, in the direction that raises the objective."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from amask_solo._types import BaseLoss, Images, Scalar, WeightedViews
from amask_solo.hard_views.base import HardView

Norm = Literal["linf", "l2"]

HALF_SCALE = 2.0**12
"""By how much the objective is scaled under half precision, so that its gradient by a pixel is no zero there."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class AdversarialPixels(HardView):
    r"""Perturb the view by at most :math:`\epsilon` so that the host's objective on this batch rises.

    Starting from :math:`\delta = 0`, or at random, each step is

    .. math:: \delta \leftarrow \Pi_\epsilon \bigl(\delta + \alpha \, \mathrm{sign} \, \nabla_\delta L(x + \delta)\bigr)

    With the norm ``"l2"``, the gradient is divided by its norm instead of taking its sign. A single step is the fast
    gradient sign method. Pixels stay between black and white; pixels that a fill has put outside are moved no farther.
    Of a run with a view filter these are the filtered pixels, half of which lie below black.
    The perturbation is a constant, so encoder and masker get the gradients of the perturbed view. Each step costs one
    more call of the host and the gradient back to the pixels.

    Args:
        eps: The largest perturbation, at least 0, on the scale of pixels from 0 to 255, of each value; with ``"l2"``,
            the largest Euclidean norm over all values of an image.
        steps: The number of steps, at least 1.
        step_size: :math:`\alpha`, on the same scale, above 0; ``None`` is 2.5 ``eps / steps``.
        norm: The norm of the perturbation, ``"linf"`` or ``"l2"``.
        random_start: Whether to start at a random point within ``eps``.
        mean: Channel means that the views were normalized by, as shares of white. A run fills in those of its data.
        std: The standard deviations, likewise, above 0.

    Raises:
        ValueError: If a number is out of range, or the norm is unknown.

    References:
        Goodfellow et al., `Explaining and Harnessing Adversarial Examples <https://arxiv.org/abs/1412.6572>`_, ICLR
        2015; Madry et al., `Towards Deep Learning Models Resistant to Adversarial Attacks
        <https://arxiv.org/abs/1706.06083>`_, ICLR 2018. As views of self-supervised methods: Ho and Vasconcelos,
        `Contrastive Learning with Adversarial Examples <https://arxiv.org/abs/2010.12050>`_, 2020; Li et al., `HEXA
        <https://arxiv.org/abs/2012.13493>`_, 2020. We only know the abstracts of these two.
    """

    attacks = True
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        eps: float = 4.0,
        steps: int = 1,
        step_size: float | None = None,
        norm: Norm = "linf",
        random_start: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if not 0 <= eps < math.inf or steps < 1:
            raise ValueError(f"Expected eps of 0 or more and one step or more, but got {eps} and {steps}.")
        if step_size is not None and not step_size > 0:
            raise ValueError(f"Expected step_size to be positive or null, but got {step_size}.")
        if norm not in ("linf", "l2"):
            raise ValueError(f"Expected norm to be 'linf' or 'l2', but got {norm!r}.")
        numbers = [*mean, *std]
        if len(mean) != len(std) or not all(map(math.isfinite, numbers)) or not all(number > 0 for number in std):
            raise ValueError(f"Expected mean and a positive std for each channel, but got {mean} and {std}.")
        self.eps, self.steps, self.norm, self.random_start = eps, steps, norm, random_start
        self.step_size = 2.5 * eps / steps if step_size is None else step_size
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(
        self, entries: Iterable[WeightedViews], loss: BaseLoss, *, generator: torch.Generator | None = None
    ) -> Iterator[WeightedViews]:
        """Yield each entry with its hard view perturbed.

        Raises:
            ValueError: If a view has other channels than ``mean`` and ``std``.
        """
        for entry in entries:
            hard = entry.views[entry.side]
            if hard.shape[1] != len(self.std):
                raise ValueError(
                    f"Expected views of {len(self.std)} channels, as mean and std, but got {hard.shape[1]}."
                )
            delta = self._perturbation(hard.detach(), partial(_objective, entry, loss), generator=generator)
            yield entry.harder(hard + delta / self.std.to(hard.dtype))

    def _perturbation(
        self, view: Images, objective: Callable[[Images], Scalar], *, generator: torch.Generator | None
    ) -> Images:
        """Return the perturbation of the view, on the scale of pixels from 0 to 255."""
        std, kind = self.std.to(view.dtype), view.device.type
        pixels = view * std + self.mean.to(view.dtype)
        low, high = (0 - pixels).clamp_max(0), (255 - pixels).clamp_min(0)
        delta = torch.zeros_like(view)
        if self.random_start:
            delta = self._within(self._anywhere(view, generator=generator), low, high)
        # Neither the sign nor the direction of the gradient depends on its size, if only it does not underflow.
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        half = cast and torch.get_autocast_dtype(kind) == torch.float16
        for _ in range(self.steps):
            with torch.enable_grad():
                moved = delta.requires_grad_()
                harm = objective(view + moved / std)
                harm = HALF_SCALE * harm.float() if half else harm
                (gradient,) = torch.autograd.grad(harm, moved, materialize_grads=True)
            direction = gradient.sign() if self.norm == "linf" else gradient / _length(gradient)
            delta = self._within(delta.detach() + self.step_size * direction, low, high)
        return delta

    def _within(self, delta: Images, low: Images, high: Images) -> Images:
        """Project the perturbation to ``eps``, and the pixels between black and white."""
        if self.norm == "linf":
            delta = delta.clamp(-self.eps, self.eps)
        else:
            delta = delta * (self.eps / _length(delta)).clamp_max(1)
        return delta.clamp(low, high)

    def _anywhere(self, view: Images, *, generator: torch.Generator | None) -> Images:
        if self.norm == "linf":
            drawn = torch.rand(view.shape, dtype=view.dtype, device=view.device, generator=generator)
            return self.eps * (2 * drawn - 1)
        drawn = torch.randn(view.shape, dtype=view.dtype, device=view.device, generator=generator)
        radius = torch.rand(len(view), 1, 1, 1, dtype=view.dtype, device=view.device, generator=generator)
        return self.eps * radius * drawn / _length(drawn)


def _objective(entry: WeightedViews, loss: BaseLoss, view: Images) -> Scalar:
    return loss(entry.harder(view).views)


def _length(images: Images) -> Tensor:
    # Clamped above zero, so that a view without a gradient does not move.
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True).clamp_min(1e-20)
