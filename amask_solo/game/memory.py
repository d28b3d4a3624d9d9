"""N masks in the memory of one: each entry of the game is differentiated before the next one is played. Ours.

The gradient of a sum is the sum of the gradients, so it can be accumulated entry by entry. Tensors that the entries
share (clean features, masks) are cut off from their own graph, which the trainer's backward pass runs through once at
the end. This costs one more set of the networks' gradients, and a second forward pass of the masker.
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
    """A tensor and the leaf that replaces it; a parameter replaces itself."""

    origin: Tensor
    leaf: Tensor


def cut(tensor: Tensor) -> Cut:
    """Cut a tensor off from its graph."""
    return Cut(tensor, tensor.detach().requires_grad_(tensor.requires_grad))


def value_one_by_one(entries: Iterable[WeightedViews], loss: BaseLoss, shared: Sequence[Cut]) -> Scalar:
    """Return :meth:`~amask_solo.game.game.Game.value`, differentiable, but keep the graph of one entry at a time.

    Args:
        entries: The entries of the sum, made lazily.
        loss: The host's objective.
        shared: All tensors that get a gradient. Entries and objective use the leaves; the caller's backward pass
            continues from the origins.
    """
    total: Tensor | float = 0.0
    shared = [known for known in shared if known.leaf.requires_grad]
    with _set_aside([known.leaf for known in shared]) as leaves:
        for entry in entries:
            pixels = {number: cut(view) for number, view in enumerate(entry.views) if view.requires_grad}
            known = (pixels[n].leaf if n in pixels else view for n, view in enumerate(entry.views))
            value = entry.weight * loss(tuple(known))
            total = total + value.detach()
            if not value.requires_grad:
                continue  # in the masker's turn, a pair without a mask teaches nothing
            with torch.autocast(value.device.type, enabled=False):
                # `backward` adds to the gradients in place; `grad` would allocate a set of them for each entry.
                torch.autograd.backward(value, inputs=[*leaves, *(hard.leaf for hard in pixels.values())])
                # Several entries may share the pixels of one occlusion, so its graph, which is small, is kept.
                for hard in pixels.values():
                    if hard.leaf.grad is not None:  # a view that only passes through the teacher has none
                        torch.autograd.backward(hard.origin, hard.leaf.grad, inputs=leaves, retain_graph=True)
        gradients = [leaf.grad for leaf in leaves]
    return _WithGradients.apply(total, gradients, *(known.origin for known in shared))


@contextmanager
def _set_aside(leaves: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Set the gradients of the leaves aside while the context lasts."""
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        yield leaves
    finally:
        for leaf, gradient in zip(leaves, before, strict=True):
            leaf.grad = gradient


def made_anew(propose: Callable[..., Masks], view: Images, *, generator: torch.Generator | None = None) -> Masks:
    """Return masks without keeping their graph; the backward pass makes them again from the same random numbers.

    The generator advances as if the masks were made once.
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
