"""The host's online classifier and kNN learn from clean features only.

A masked view's features are replaced, for the samples that were changed and for these readers alone, by those of the
view beside it that is clean. A sample in which nothing is hidden counts as clean: masks of zero leave the stock method.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.masked.clean_view import EncodeOnce
from amask_solo.masked.side_effects import quiet


@contextmanager
def clean_online_evaluation(
    model: Any,
    clean: Sequence[Images],
    views: Sequence[Images],
    targets: Tensor,
    caches: Sequence[EncodeOnce],
) -> Iterator[None]:
    """Show the classifiers and the kNN clean features for as long as the context lasts.

    Args:
        model: The host's method.
        clean: The large views before anything was hidden.
        views: The large views that the host gets.
        targets: Labels of the samples; -1 = no label.
        caches: Remembered features of the clean views: of the backbone, then of the momentum backbone.
    """
    changed = [
        None if view is known else (view != known).flatten(1).any(dim=1)
        for view, known in zip(views, clean, strict=True)
    ]
    stand_in = changed.index(None) if None in changed else 0
    if None not in changed:
        # With masks on both views none is clean, so one is encoded for these readers alone.
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
    """Return a forward pre-hook of a classifier, which the host calls once for each large view, in order."""
    order = cycle(changed)

    def hook(head: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:  # noqa: ARG001
        rows = next(order)
        if rows is None:
            return args
        clean = cache.view(stand_in).detach().to(args[0].dtype)
        return (torch.where(rows.unsqueeze(1), clean, args[0]),)

    return hook


def _leave_out(changed: list[Tensor | None], targets: Tensor) -> Callable:
    """Return a forward pre-hook of the kNN, which leaves out the features of samples that were changed."""
    labeled = targets != -1
    keep = torch.cat([labeled if rows is None else ~rows & labeled for rows in changed])

    def hook(knn: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple:  # noqa: ARG001
        if "train_features" in kwargs:
            # The current host has dropped unlabeled rows by now, the release has not.
            rows = len(kwargs["train_features"])
            kept = keep if rows == len(keep) else keep[labeled.repeat(len(changed))]
            kwargs |= {name: kwargs[name][kept] for name in ("train_features", "train_targets")}
        return args, kwargs

    return hook
