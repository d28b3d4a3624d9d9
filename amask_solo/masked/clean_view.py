"""Encode each clean view only once, and let the host's online classifier and kNN learn from clean features only.

For these two, the features of changed samples in a masked view are replaced by the features of a clean view. A sample
in which nothing is hidden counts as clean, so masks of zero give the stock method.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from amask_solo._types import Images, Views
from amask_solo.game.memory import Cut, cut
from amask_solo.masked.side_effects import quiet, replaced


def _same(a: Tensor, b: Tensor) -> bool:
    # A view that the host passes on unchanged may be another Python object with the same memory.
    return a is b or (a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride())


class EncodeOnce:
    """A network that remembers its outputs for some inputs, its ``views``, which must stay alive and unchanged.

    ``grad`` says whether the remembered outputs have a graph; the masker's own turn needs none.
    """

    def __init__(self, network: Callable[[Images], Tensor], views: Views, *, grad: bool = True) -> None:
        self.network, self.views, self.grad = network, views, grad
        self.remembered: dict[int, Tensor] = {}

    def __call__(self, images: Images) -> Tensor:
        """Return the network's output; for an input to remember, it is computed once."""
        for number, view in enumerate(self.views):
            if _same(images, view):
                return self.view(number)
        return self.network(images)

    def view(self, number: int) -> Tensor:
        """Return the output for the view with this index."""
        if number not in self.remembered:
            with torch.set_grad_enabled(self.grad and torch.is_grad_enabled()):
                self.remembered[number] = self.network(self.views[number])
        return self.remembered[number]

    def cut(self) -> list[Cut]:
        """Cut the remembered outputs off from their graph; later calls return the leaves."""
        cuts = {number: cut(output) for number, output in self.remembered.items()}
        self.remembered = {number: made.leaf for number, made in cuts.items()}
        return list(cuts.values())


@contextmanager
def encode_once(networks: Sequence[nn.Module], views: Views, *, grad: bool = True) -> Iterator[list[EncodeOnce]]:
    """Let each network remember its features of the clean views while the context lasts.

    The online backbone is first. The views are in the memory format that the host uses, so that it does not copy them.
    """
    caches = [EncodeOnce(network.forward, views, grad=grad) for network in networks]
    with ExitStack() as stack:
        for network, cache in zip(networks, caches, strict=True):
            stack.enter_context(replaced(network, forward=cache))
        yield caches


def in_memory_format(model: LightningModule, batch: Sequence) -> list:
    """Return the batch with its views in the memory format that the host's networks get.

    The current host converts each view to channels_last. A view that needs no conversion keeps its memory, by which
    :class:`EncodeOnce` recognizes it.
    """
    index, views, targets = batch
    views = [views] if isinstance(views, Tensor) else list(views)
    if not getattr(model, "no_channel_last", True):
        views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    return [index, views, targets]


@contextmanager
def clean_online_evaluation(
    model: Any, clean: Sequence[Images], views: Sequence[Images], targets: Tensor, caches: Sequence[EncodeOnce]
) -> Iterator[None]:
    """Show clean features to the classifiers and the kNN while the context lasts.

    Args:
        model: The host's method.
        clean: The clean large views.
        views: The large views that the host gets.
        targets: Labels of the samples; -1 = no label.
        caches: As in :class:`~amask_solo.masked.loss.HostLoss`.
    """
    changed = [
        None if view is known else (view != known).flatten(1).any(dim=1)
        for view, known in zip(views, clean, strict=True)
    ]
    stand_in = changed.index(None) if None in changed else 0
    if None not in changed:
        # If both views are masked, a clean one is encoded for this purpose only.
        with torch.no_grad(), quiet(model):
            for cache in caches:
                cache.view(stand_in)
    heads = (model.classifier, getattr(model, "momentum_classifier", None))
    with ExitStack() as stack:
        for head, cache in zip(heads, caches, strict=False):
            if head is not None:
                stack.callback(head.register_forward_pre_hook(_substitute(changed, cache, stand_in)).remove)
        if model.knn_eval:
            hook = _leave_out(changed, targets)
            stack.callback(model.knn.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


def _substitute(changed: list[Tensor | None], cache: EncodeOnce, stand_in: int) -> Callable:
    """Return a forward pre-hook for a classifier, which the host calls once for each large view, in order."""
    order = cycle(changed)

    def hook(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        if (rows := next(order)) is None:
            return args
        clean = cache.view(stand_in).detach().to(args[0].dtype)
        return (torch.where(rows.unsqueeze(1), clean, args[0]),)

    return hook


def _leave_out(changed: list[Tensor | None], targets: Tensor) -> Callable:
    """Return a forward pre-hook for the kNN that takes changed samples their labels, so that it leaves them out."""
    labeled = targets != -1
    keep = torch.cat([labeled if rows is None else ~rows & labeled for rows in changed])

    def hook(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple:
        if "train_features" in kwargs:
            # The current host has dropped unlabeled rows by now; the release has not.
            known = kwargs["train_targets"]
            kept = keep if len(known) == len(keep) else keep[labeled.repeat(len(changed))]
            kwargs |= {"train_targets": torch.where(kept, known, -1)}
        return args, kwargs

    return hook
