"""Calls of the host that nobody hears.

Each call of a host's ``training_step`` writes logs, BatchNorm statistics, queues, centers, memory banks and kNN
features. Exactly one call a batch may: the others run inside :func:`quiet`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lightning.pytorch import LightningModule
from torch import Tensor, nn

Buffers = dict[tuple[nn.Module, str], Tensor]


def snapshot(model: LightningModule, *, skip_statistics: bool = False) -> Buffers:
    """Copy the host's buffers.

    Args:
        model: The host's method.
        skip_statistics: Leave out normalization layers; in training mode they write their statistics, but never read
            them.
    """
    return {
        (module, name): buffer.clone()
        for module in model.modules()
        if not (skip_statistics and isinstance(module, nn.modules.batchnorm._NormBase))
        for name, buffer in module.named_buffers(recurse=False)
    }


@contextmanager
def quiet(model: LightningModule, before: Mapping | None = None) -> Iterator[None]:
    """Run a call of the host without any trace but its result.

    The buffers are *swapped* for scratch copies: writing the old values back in place would invalidate the graph.

    Args:
        model: The host's method; it has an attribute ``muted`` that silences its logs.
        before: Buffers as they were earlier, which the call shall see instead of the present ones.
    """
    # With those that are still None: a cache that the call fills is a trace too.
    originals = {(module, name): buffer for module in model.modules() for name, buffer in module._buffers.items()}
    present = before or {}
    for (module, name), buffer in originals.items():
        found = present.get((module, name), buffer)
        module._buffers[name] = None if found is None else found.clone()
    knn_eval, muted = model.knn_eval, model.muted
    model.knn_eval, model.muted = False, True
    try:
        yield
    finally:
        model.knn_eval, model.muted = knn_eval, muted
        for (module, name), buffer in originals.items():
            module._buffers[name] = buffer
