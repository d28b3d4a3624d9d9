"""The host's online classifier and kNN learn from clean features only.

A masked view's features are replaced, for the samples that were changed and for these readers alone, by those of the
view beside it that is clean. A sample in which nothing is hidden counts as clean: masks of zero leave the stock method.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.masked.clean_view import EncodeOnce
from amask_solo.masked.side_effects import quiet


@contextmanager
def clean_online_evaluation(
    model: LightningModule,
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
                hook = _Substitute(changed, cache, stand_in)
                stack.callback(head.register_forward_pre_hook(hook).remove)
        if model.knn_eval:
            keep = torch.cat([targets != -1 if c is None else ~c & (targets != -1) for c in changed])
            hook = _Filter(keep, targets.repeat(len(changed)) != -1)
            handle = model.knn.register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield


class _Substitute:
    """Forward pre-hook of a classifier, which the host calls once for each large view, in order."""

    def __init__(self, changed: list[Tensor | None], cache: EncodeOnce, stand_in: int) -> None:
        self.changed, self.cache, self.stand_in, self.calls = changed, cache, stand_in, 0

    def __call__(self, head: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:  # noqa: ARG002
        changed = self.changed[self.calls % len(self.changed)]
        self.calls += 1
        if changed is None:
            return args
        clean = self.cache.view(self.stand_in).detach().to(args[0].dtype)
        return (torch.where(changed.unsqueeze(1), clean, args[0]),)


class _Filter:
    """Forward pre-hook of the kNN: leave out the features of samples that were changed."""

    def __init__(self, keep: Tensor, labeled: Tensor) -> None:
        self.keep, self.labeled = keep, labeled

    def __call__(self, knn: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple:  # noqa: ARG002
        if "train_features" in kwargs:
            # The current host has dropped unlabeled rows by now, the release has not.
            rows = len(kwargs["train_features"])
            keep = self.keep if rows == len(self.keep) else self.keep[self.labeled]
            names = ("train_features", "train_targets")
            kwargs |= {name: kwargs[name][keep] for name in names}
        return args, kwargs
