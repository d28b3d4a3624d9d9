"""Encode each clean view only once, however many masked views it is paired with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.game.memory import Cut, cut
from amask_solo.masked.side_effects import replaced


def _same(a: Tensor, b: Tensor) -> bool:
    # A view that the host passes on unchanged may be another Python object with the same memory.
    return a is b or (a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride())


class EncodeOnce:
    """A network that remembers its outputs for given inputs.

    Args:
        network: The network, or its ``forward``.
        views: The inputs to remember; they must stay alive and unchanged meanwhile.
        grad: Whether the remembered outputs have a graph.
    """

    def __init__(self, network: Callable[[Images], Tensor], views: Sequence[Images], *, grad: bool = True) -> None:
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
def encode_once(
    networks: Sequence[nn.Module], views: Sequence[Images], *, grad: bool = True
) -> Iterator[list[EncodeOnce]]:
    """Let each network remember its features of the clean views while the context lasts.

    Args:
        networks: The backbones; the online one is first.
        views: The clean views, in the memory format that the host uses, so that it does not copy them.
        grad: Whether the remembered features have a graph. The masker's own turn needs none.
    """
    with ExitStack() as stack:
        caches = []
        for network in networks:
            caches.append(EncodeOnce(network.forward, views, grad=grad))
            stack.enter_context(replaced(network, forward=caches[-1]))
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
