"""Let the host's online classifier and kNN learn from clean features only.

For these two, the features of changed samples in a masked view are replaced by the features of a clean view. A sample
in which nothing is hidden counts as clean, so masks of zero give the stock method.
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
    """Show clean features to the classifiers and the kNN while the context lasts.

    Args:
        model: The host's method.
        clean: The clean large views.
        views: The large views that the host gets.
        targets: Labels of the samples; -1 = no label.
        caches: The remembered features of the clean views, from the backbone and then from the momentum backbone.
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

    def hook(head: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:  # noqa: ARG001
        rows = next(order)
        if rows is None:
            return args
        clean = cache.view(stand_in).detach().to(args[0].dtype)
        return (torch.where(rows.unsqueeze(1), clean, args[0]),)

    return hook


def _leave_out(changed: list[Tensor | None], targets: Tensor) -> Callable:
    """Return a forward pre-hook for the kNN that takes changed samples their labels, so that it leaves them out."""
    labeled = targets != -1
    keep = torch.cat([labeled if rows is None else ~rows & labeled for rows in changed])

    def hook(knn: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple:  # noqa: ARG001
        if "train_features" in kwargs:
            # The current host has dropped unlabeled rows by now; the release has not.
            known = kwargs["train_targets"]
            kept = keep if len(known) == len(keep) else keep[labeled.repeat(len(changed))]
            kwargs |= {"train_targets": torch.where(kept, known, -1)}
        return args, kwargs

    return hook
