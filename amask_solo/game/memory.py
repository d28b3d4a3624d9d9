"""N masks in the memory of one: the gradient of each entry of the game is taken before the next one is played. Ours.

The sum is linear, so its gradient may be gathered entry by entry. What the entries share (clean features, masks) is cut
off from its own graph, which is run through once, at the end, by the backward pass of whoever trains. What it costs is
one more set of the networks' gradients, and the masker's forward pass twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from amask_solo._types import BaseLoss, Images, Masks, Scalar, WeightedViews


class Cut(NamedTuple):
    """A tensor, and the leaf that stands in for it; a parameter is its own stand-in."""

    origin: Tensor
    leaf: Tensor


def cut(tensor: Tensor) -> Cut:
    """Cut a tensor off from its graph."""
    return Cut(tensor, tensor.detach().requires_grad_(tensor.requires_grad))


def value_one_by_one(entries: Iterable[WeightedViews], loss: BaseLoss, shared: Sequence[Cut]) -> Scalar:
    """Return what :meth:`~amask_solo.game.game.Game.value` returns, and its gradient, with one entry's graph at a time.

    Args:
        entries: The sum, made as it is consumed.
        loss: The host's objective.
        shared: All that gets a gradient. Entries and objective see the leaves, the caller's backward pass the origins.
    """
    total: Tensor | float = 0.0
    shared = [known for known in shared if known.leaf.requires_grad]
    with _set_aside([known.leaf for known in shared]) as leaves:
        for entry in entries:
            pixels = {number: cut(view) for number, view in enumerate(entry.views) if view.requires_grad}
            known = (pixels[n].leaf if n in pixels else view for n, view in enumerate(entry.views))
            value = entry.weight * loss(tuple(known))
            total = total + value.detach()
            with torch.autocast(value.device.type, enabled=False):
                # Adds to what is there; `grad` would return a set of gradients, as large as the network, each time.
                torch.autograd.backward(value, inputs=[*leaves, *(hard.leaf for hard in pixels.values())])
                # Several entries may show the pixels of one occlusion: that graph is small, and kept for the next.
                for hard in pixels.values():
                    if hard.leaf.grad is not None:  # a view that goes through a teacher alone has none
                        torch.autograd.backward(hard.origin, hard.leaf.grad, inputs=leaves, retain_graph=True)
        gradients = [leaf.grad for leaf in leaves]
    return _WithGradients.apply(total, gradients, *(known.origin for known in shared))


@contextmanager
def _set_aside(leaves: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Let the leaves gather gradients of their own for as long as the context lasts."""
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        yield leaves
    finally:
        for leaf, gradient in zip(leaves, before, strict=True):
            leaf.grad = gradient


def made_anew(propose: Callable[..., Masks], view: Images, *, generator: torch.Generator | None = None) -> Masks:
    """Return masks whose graph is not kept: the backward pass makes them again, from the same random numbers.

    Args:
        propose: Makes the masks of a view.
        view: The view.
        generator: Source of randomness; afterwards it is where it would be if they had been made once.
    """
    again = None if generator is None else generator.clone_state()
    sources = iter([generator])
    return checkpoint(lambda images: propose(images, generator=next(sources, again)), view, use_reentrant=False)


class _WithGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *origins: Tensor) -> Tensor:  # noqa: ARG004
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, *(None if known is None else known.mul_(grad) for known in gradients)
