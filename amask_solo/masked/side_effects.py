"""Calls of the host that nobody hears.

Each call of a host's ``training_step`` writes logs, BatchNorm statistics, queues, centers, memory banks and kNN
features. Exactly one call a batch may: the others run inside :func:`quiet`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

Buffers = dict[tuple[nn.Module, str], Tensor]
"""Copies of buffers, by their module and their name in it."""

CLASS_LOSSES = ("train_class_loss", "train_momentum_class_loss")
"""Under which names a host logs the losses of its online classifiers."""


def snapshot(model: LightningModule) -> Buffers:
    """Copy the host's buffers, but for statistics of normalization layers, which training writes and never reads."""
    return {
        (module, name): buffer.clone()
        for module in model.modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
        for name, buffer in module.named_buffers(recurse=False)
    }


@contextmanager
def quiet(model: LightningModule, before: Mapping | None = None) -> Iterator[None]:
    """Run a call of the host without any trace but its result.

    The buffers are *swapped* for scratch copies: writing the old values back in place would invalidate the graph.

    Args:
        model: The host's method.
        before: Buffers as they were earlier, which the call shall see instead of the present ones.
    """
    # With those that are still None: a cache that the call fills is a trace too.
    originals = {(module, name): buffer for module in model.modules() for name, buffer in module._buffers.items()}
    present = before or {}
    for (module, name), buffer in originals.items():
        found = present.get((module, name), buffer)
        module._buffers[name] = None if found is None else found.clone()
    try:
        with replaced(model, log=_unheard, log_dict=_unheard, knn_eval=False):
            yield
    finally:
        for (module, name), buffer in originals.items():
            module._buffers[name] = buffer


@contextmanager
def class_losses(model: LightningModule) -> Iterator[list[Tensor]]:
    """Give a list that fills with the losses of the online classifiers, overheard from what the host logs.

    They have no gradient to views or backbone, and are no part of the game.
    """
    heard: list[Tensor] = []
    calls: list[bool] = []
    log_dict = model.log_dict

    def listen(dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        # Copies, since a host may go on adding to the tensor that it has logged.
        heard.extend(dictionary[key].clone() for key in CLASS_LOSSES if key in dictionary)
        log_dict(dictionary, *args, **kwargs)

    classifier: Any = model.classifier
    handle = classifier.register_forward_hook(lambda *_: calls.append(True))
    try:
        with replaced(model, log_dict=listen):
            yield heard
    finally:
        handle.remove()
    if calls and not heard:
        _say_unheard(type(model).__name__)


@contextmanager
def replaced(owner: object, **attributes: Any) -> Iterator[None]:
    """Give an object attributes of its own, methods too, for as long as the context lasts."""
    before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
    vars(owner).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(owner)[name]
        vars(owner).update(before)


def _unheard(*_: Any, **__: Any) -> None:
    """Take what is logged, and forget it."""


@cache
def _say_unheard(method: str) -> None:
    rank_zero_warn(
        f"{method} calls its online classifier, but logs none of {', '.join(CLASS_LOSSES)}: if it adds the "
        "classifier's loss to its own, that counts as a part of the game. Log it by log_dict under such a name."
    )
