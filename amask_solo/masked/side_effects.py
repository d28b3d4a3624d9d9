"""Calls of the host without side effects.

Each call of a host's ``training_step`` writes logs, BatchNorm statistics, queues, centers, memory banks and kNN
features. Only one call per batch may do so; the others run inside :func:`quiet`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

Buffers = dict[tuple[nn.Module, str], Tensor]
"""A module and the name of its buffer -> a copy of the buffer."""

CLASS_LOSSES = ("train_class_loss", "train_momentum_class_loss")
"""The names under which the hosts log the losses of their online classifiers."""


def snapshot(model: LightningModule) -> Buffers:
    """Copy the host's buffers, except for statistics of normalization layers, which training never reads."""
    return {
        (module, name): buffer.clone()
        for module in model.modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
        for name, buffer in module.named_buffers(recurse=False)
    }


@contextmanager
def quiet(model: LightningModule, before: Mapping | None = None) -> Iterator[None]:
    """Discard all side effects of the host's calls while the context lasts.

    The buffers are *swapped* for scratch copies, because writing old values back in place would invalidate the graph.
    The calls see the values ``before`` instead of the present ones, where there are some. Numbers and tensors that the
    method or a part of it keeps as plain attributes are put back likewise.
    """
    plain = [(module, name, value) for module in (model, *model.children()) for name, value in _plain(module)]
    for module, name, value in plain:
        if isinstance(value, Tensor):
            vars(module)[name] = value.clone()
    # Buffers that are still None are included, since a call may fill them.
    originals = {(module, name): buffer for module in model.modules() for name, buffer in module._buffers.items()}
    for (module, name), buffer in (originals | dict(before or {})).items():
        module._buffers[name] = None if buffer is None else buffer.clone()
    try:
        with replaced(model, log=_unheard, log_dict=_unheard, knn_eval=False):
            yield
    finally:
        for (module, name), buffer in originals.items():
            module._buffers[name] = buffer
        for module, name, value in plain:
            vars(module)[name] = value


def _plain(module: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if isinstance(value, int | float | Tensor)]


@contextmanager
def class_losses(model: LightningModule) -> Iterator[list[Tensor]]:
    """Yield a list that collects the losses of the online classifiers from the host's logs.

    These losses have no gradient to views or backbone, and are not part of the game.
    """
    heard: list[Tensor] = []
    calls: list[bool] = []
    log_dict = model.log_dict

    def listen(dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        # The list has copies, since a host may add to the logged tensor in place.
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
        _warn_unheard(type(model).__name__)


@contextmanager
def replaced(owner: object, **attributes: Any) -> Iterator[None]:
    """Replace attributes or methods of an object while the context lasts."""
    before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
    vars(owner).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(owner)[name]
        vars(owner).update(before)


def _unheard(*_: Any, **__: Any) -> None:
    """Discard a log entry."""


@cache
def _warn_unheard(method: str) -> None:
    rank_zero_warn(
        f"{method} calls its online classifier, but logs none of {', '.join(CLASS_LOSSES)}: if it adds the "
        "classifier's loss to its own, that counts as a part of the game. Log it by log_dict under such a name."
    )
