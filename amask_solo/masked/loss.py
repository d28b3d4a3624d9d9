"""The host's objective as a function of its views, on one batch; the game sees nothing else of a method."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from amask_solo._random import untouched
from amask_solo._types import Scalar, Views
from amask_solo.errors import UserError
from amask_solo.game.adversary import part_size
from amask_solo.game.memory import Cut
from amask_solo.game.updates import Turn
from amask_solo.hosts.calls import without_queries
from amask_solo.masked.clean_view import EncodeOnce, clean_online_evaluation
from amask_solo.masked.negatives import with_negatives
from amask_solo.masked.side_effects import Buffers, class_losses, quiet
from amask_solo.occlusion import pixels


@dataclass
class Step:
    """One batch of the game, from ``training_step`` to ``on_train_batch_end``.

    Attributes:
        batch: The host's batch: indexes, clean views, labels.
        batch_idx: The index of the batch in the epoch.
        taken: The number of steps that the host's optimizer had taken before.
        moves: Whether the masker learns in this step.
        before: The host's buffers at the beginning of the step, if the masker plays again after the encoder. It then
            sees these instead of the present ones, so that the queues do not contain the batch.
        turn: The encoder's turn, without its graph, until callbacks have read it in their hook ``on_before_backward``.
    """

    batch: Sequence
    batch_idx: int
    taken: int = 0
    moves: bool = False
    before: Buffers | None = None
    turn: Turn | None = None

    def part(self, share: float) -> "Step":
        """Return the step with a share of its batch, the first images."""
        indexes, views, targets = self.batch
        views = [views] if isinstance(views, Tensor) else views
        size = part_size(share, len(indexes))
        return replace(self, batch=[indexes[:size], [view[:size] for view in views], targets[:size]])


class HostLoss:
    """Call the host's ``training_step`` on other views, and leave out the loss of its online classifiers.

    Args:
        model: The masked method.
        batch: The host's batch (indexes, clean views, labels) in the memory format of its networks.
        batch_idx: The index of the batch in the epoch.
        caches: The remembered features of the clean views, from the backbone and then from the momentum backbone.
        loud_call: The number (from 1) of the only call that may write logs, statistics, queues and memory banks. It is
            the last call, so that all calls see the same queues. ``None`` if no call may, and the host does not learn.
        before: Buffers that quiet calls see instead of the present ones.

    Attributes:
        class_loss: The loss of the online classifiers in the loud call. It has no gradient to views or backbone.
    """

    def __init__(
        self,
        model: LightningModule,
        batch: Sequence,
        batch_idx: int,
        *,
        caches: Sequence[EncodeOnce],
        loud_call: int | None = None,
        before: Buffers | None = None,
    ) -> None:
        self.model: Any = model
        self.batch_idx = batch_idx
        self.indexes, self.clean, self.targets = batch
        self.caches, self.loud_call, self.before = caches, loud_call, before
        self.with_negatives = with_negatives(model, self.clean, batch_idx)
        self.calls = 0
        self.class_loss: Scalar | float = 0.0

    def __call__(self, views: Views) -> Scalar:
        """Return the self-supervised loss of these views."""
        self.calls += 1
        return self._loud(views) if self.calls == self.loud_call else self._quiet(views)

    def probe(self, views: Views) -> Scalar:
        """Return the loss for an attack, by a quiet call that is not counted and leaves the run's random state."""
        with untouched(self.model.device):
            return self._quiet(views)

    def remember_clean_views(self) -> None:
        """Encode the clean views now, unless they are known, so that the backbones' statistics see them once.

        A quiet call discards statistics, so it needs this first; a single loud call encodes the views by itself.
        """
        for place, cache in enumerate(self.caches):
            teacher = place > 0
            for number in range(self.model.num_large_crops if teacher else len(self.clean)):
                if number not in self.model.never_clean:
                    with torch.set_grad_enabled(torch.is_grad_enabled() and not teacher):
                        cache.view(number)

    def shared(self) -> list[Cut]:
        """Return the host's tensors that get a gradient in every call: the cut-off clean features and the parameters.

        The parameters of the online classifiers, which have their own losses, and of the adversary are left out.
        """
        if self.loud_call is None:
            return []
        self.remember_clean_views()
        apart = ("adversary.", "classifier.", "momentum_classifier.")
        learned = (p for name, p in self.model.named_parameters() if p.requires_grad and not name.startswith(apart))
        return [*self.caches[0].cut(), *(Cut(p, p) for p in learned)]

    def _quiet(self, views: Views) -> Scalar:
        self.remember_clean_views()
        with quiet(self.model, self.before):
            return self._play(views)[0]

    def _loud(self, views: Views) -> Scalar:
        large = slice(0, self.model.num_large_crops)
        carry = self.model.adversary.game.drop_tokens  # images may have four channels of their own
        shown = [pixels(view) if carry else view for view in views[large]]
        with clean_online_evaluation(self.model, self.clean[large], shown, self.targets, self.caches):
            loss, self.class_loss = self._play(views)
        return loss

    def _play(self, views: Views) -> tuple[Scalar, Scalar | float]:
        with class_losses(self.model) as heard, self.with_negatives(), self._directed(views):
            batch = [self.indexes, list(views), self.targets]
            loss = _value(self.model.stock, self.model.stock.training_step(self.model, batch, self.batch_idx))
        class_loss = sum(heard, start=0.0) if self._adds_class_loss(loss) else 0.0
        return loss - class_loss, class_loss

    def _adds_class_loss(self, loss: Scalar) -> bool:
        """Return whether the host adds the loss of its online classifier to its own; a user's may leave it out."""
        weights = [p for p in self.model.classifier.parameters() if p.requires_grad]
        if self.model.adds_class_loss is None and loss.requires_grad and weights:
            # The graph has no way from the classifier to the backbone, so this costs nothing.
            gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            self.model.adds_class_loss = any(gradient is not None for gradient in gradients)
        return self.model.adds_class_loss is not False

    def _directed(self, views: Views) -> AbstractContextManager[None]:
        """Return a context that leaves out terms in which a clean view predicts a masked one, unless they count."""
        masked = {number for number, view in enumerate(views) if view is not self.clean[number]}
        if self.model.symmetric or not masked:
            return nullcontext()
        return without_queries(self.model.stock, set(range(len(views))) - masked)


def _value(method: type, returned: Any) -> Scalar:
    """Return the loss that a step has returned, alone or in a mapping; raise a ``UserError`` if there is none."""
    loss = returned.get("loss") if isinstance(returned, Mapping) else returned
    if not isinstance(loss, Tensor):
        raise UserError(
            f"{method.__name__}.training_step returns no loss, which the masker is to raise. Return it, and leave the "
            "optimizer's steps to Lightning (automatic_optimization)."
        )
    return loss
