"""The training step of an adversarially masked method, hook by hook.

A masked method is a subclass of the host's method, made at run time. A wrapper module would not do: a child module
cannot log, and the host's own evaluation looks for ``backbone.*`` at the root of the checkpoint.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo._random import stream, untouched
from amask_solo._types import Images, Scalar
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.callbacks.epochs import steps_of_epoch
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.game.adversary import Adversary
from amask_solo.game.game import masked_views
from amask_solo.game.pairs import PAIRS
from amask_solo.game.updates import Board
from amask_solo.hosts.architectures import feature_map
from amask_solo.hosts.calls import directed_loss
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_class
from amask_solo.hosts.optimizers import end_early
from amask_solo.hosts.refusals import refuse_side, refuse_unmaskable
from amask_solo.localisers.backbone import lend_backbone, lend_clock, lend_localiser
from amask_solo.masked.clean_view import encode_once, in_memory_format
from amask_solo.masked.loss import HostLoss, Step
from amask_solo.masked.negatives import refuse_negatives
from amask_solo.masked.settings import build_settings, check_precision
from amask_solo.masked.side_effects import quiet, snapshot
from amask_solo.masked.tokens import drop_tokens


class Masked(LightningModule):
    """A mixin that precedes a host's method among the bases of a leaf class; ``super()`` is the host.

    The hooks of a step, in their order::

        training_step              the encoder's turn; with update=reversal it includes the masker's gradient
        on_before_backward         the turn is released, after callbacks have seen it
        on_before_optimizer_step   the masker moves with the encoder, if its gradient came from the same backward pass
        on_train_batch_end         otherwise the masker plays its own turn against the new encoder; then further moves

    The hooks share a :class:`~amask_solo.masked.loss.Step`. :mod:`amask_solo.game.updates` explains turns.

    Attributes:
        stock: The class of the host's unmasked method.
        adversary: The masker's side of the game.
        side: The index of the masked view; the last one if two views are masked.
        sides: The indexes of all masked views.
        never_clean: The indexes of those that are masked in all calls of the host.
        step: The present batch; ``None`` between batches, and while nothing is hidden.
        adds_class_loss: Whether the host's loss includes that of its online classifier; ``None`` until a call shows it.
    """

    stock: type[LightningModule]
    adversary: Adversary
    step: Step | None = None
    adds_class_loss: bool | None = None
    _seed = 0

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg)
        self.adversary, side, self.loud_on, self.symmetric, self.alone = build_settings(cfg)
        if self.adversary.game.drop_tokens:
            drop_tokens(self.adversary.game, self._backbones(), cfg.backbone)
        lend_backbone(self.adversary, self.look)
        lend_clock(self.adversary, self.epoch)
        attacks = any(getattr(part, "attacks", False) for part in self.adversary.game.modules())
        if attacks or self.adversary.learned():
            refuse_side(self.stock, side)
        self.side = side if isinstance(side, int) else by_class(self.stock).sides[0]
        self.sides = [1 - self.side, self.side] if side == "both" else [self.side]
        self.never_clean = [n for n in self.sides if all(n in PAIRS[pair] for pair in self.adversary.game.pairs)]
        if not self.symmetric:
            directed_loss(self.stock)
        if self.adversary.game.negatives is not None:
            refuse_negatives(self)
            lend_localiser(self.adversary.game.negatives, self.adversary.masker)
        # DDP must not wait for gradients of a masker that does not move in every step; see `distributed`.
        self._ddp_params_and_buffers_to_ignore = [f"adversary.{name}" for name in self.adversary.state_dict()]

    def training_step(self, batch: Sequence, batch_idx: int) -> Scalar:
        """Play the encoder's turn: call the host on harder views."""
        if not self.plays(self.current_epoch):
            host: Any = super()
            return host.training_step(batch, batch_idx)
        adversary, on_clean_views = self.adversary, self.loud_on == "clean"
        moves, taken = adversary.moves(self.global_step), self.global_step
        before = snapshot(self) if moves and adversary.plays_again else None
        self.step = step = Step(batch, batch_idx, taken=taken, moves=moves, before=before)
        with self._loss(step, loud_call=adversary.game.num_entries + on_clean_views) as loss:
            turn = adversary.update.encoder_turn(self._board(loss, "masks"), moves=step.moves)
            if on_clean_views:
                loss(loss.clean)
        step.turn = turn.detach()
        return turn.objective + loss.class_loss  # the online classifier learns, but is no part of the game

    def on_before_backward(self, loss: Tensor) -> None:
        """Release the turn, so that only the graph keeps its masks."""
        super().on_before_backward(loss)
        if self.step is not None:
            self.step.turn = None

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the masker with the encoder, if its gradient came from the same backward pass."""
        super().on_before_optimizer_step(optimizer)
        if self.step is not None and not self.adversary.two_turns:
            self._move(self.step)

    def on_train_batch_end(self, outputs: Any, batch: Sequence, batch_idx: int) -> None:
        """Play the masker's own turns, if there are any, before the host updates its teacher."""
        if self.step is not None and self.step.moves:
            self._masker_turns(self.step)
        self.step = None
        super().on_train_batch_end(outputs, batch, batch_idx)

    def _masker_turns(self, step: Step) -> None:
        # If gradients are accumulated, the encoder does not step in every batch.
        stepped = self.global_step > step.taken
        if self.adversary.two_turns:
            self._masker_turn(step)
            if stepped:
                self._move(step)
        if stepped and self.adversary.steps > 1:
            self._further_moves(step)

    def _masker_turn(self, step: Step) -> None:
        with self.trainer.precision_plugin.train_step_context(), self._loss(step) as loss:
            turn = self.adversary.update.masker_turn(self._board(loss, "masker's turn"))
        self.adversary.gather(turn.objective / self.trainer.accumulate_grad_batches)

    def _further_moves(self, step: Step) -> None:
        with (
            untouched(self.device),  # a host may draw numbers in its objective
            self.trainer.precision_plugin.train_step_context(),
            self._loss(step.part(self.adversary.part)) as loss,
        ):
            for number in range(1, self.adversary.steps):
                turn = self.adversary.update.masker_turn(self._board(loss, f"further move {number}"))
                self.adversary.gather(turn.objective)
                self._move(step)

    def _move(self, step: Step) -> None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.adversary.move(self._progress(step), scaler.step if scaler else lambda o: o.step())

    def _progress(self, step: Step) -> float:
        """Return the share of the game that is over before a step, whether the masker moves with the encoder or after.

        It counts from the first step of the game, or a warm-up could be over before the masker starts.
        """
        steps = self.trainer.estimated_stepping_batches
        if not 0 < steps < math.inf:
            return math.nan
        before = self.first_epoch * steps_of_epoch(self.trainer) if self.first_epoch else 0
        return max(step.taken - before, 0) / max(steps - before, 1)

    def _board(self, loss: HostLoss, name: str) -> Board:
        shared = loss.shared() if self.adversary.memory_efficient else None
        generator = self.random_stream(name, loss.batch_idx)
        return Board(self.adversary.game, loss.clean, self.sides, loss, generator, shared, loss.probe)

    @contextmanager
    def _loss(self, step: Step, *, loud_call: int | None = None) -> Iterator[HostLoss]:
        """Yield the objective on a batch whose clean views are encoded once.

        Without a loud call, it has no side effects, and no gradient to the clean views.
        """
        batch = in_memory_format(self, step.batch)
        with encode_once(self._backbones(), batch[1], grad=loud_call is not None) as caches:
            loss = HostLoss(self, batch, step.batch_idx, caches=caches, loud_call=loud_call, before=step.before)
            if loud_call is None:
                with quiet(self, step.before):
                    loss.remember_clean_views()
            yield loss

    @contextmanager
    def observed_loss(self, batch: Sequence, batch_idx: int) -> Iterator[HostLoss]:
        """Yield the objective on a batch for an observer, without gradients and side effects."""
        alone = self.adversary.uncompiled()
        with torch.no_grad(), untouched(self.device), quiet(self), alone, self._loss(Step(batch, batch_idx)) as loss:
            yield loss

    def hard_views(self, batch: Sequence, batch_idx: int) -> list[Images]:
        """Return the hard view of each entry, as a step on this batch would show it, without side effects."""
        game, generator = self.adversary.game, self.random_stream("shown", batch_idx)
        with self.observed_loss(batch, batch_idx) as loss:
            masks = game.propose(masked_views(loss.clean, self.sides), generator=generator)
            shown = game.show(masks, self.sides, generator=generator)
            entries = game.harder(loss.clean, shown, self.sides, loss.probe, generator=generator)
            return [entry.views[entry.side] for entry in entries]

    @property
    def first_epoch(self) -> int:
        """The first epoch, from 0, in which the adversary has started and the objective has a gradient."""
        return max(self.adversary.start_epoch, by_class(self.stock).first_epoch)

    def plays(self, epoch: int) -> bool:
        """Return whether the game is on."""
        return epoch >= self.first_epoch

    def look(self, images: Images) -> Tensor:
        """Return the last feature map ``(B, d, h, w)`` of the teacher, or of the backbone if there is no teacher."""
        return feature_map(self._backbones()[-1], images)

    def epoch(self) -> int:
        """Return the epoch, from 0."""
        return self.current_epoch

    def random_stream(self, name: str, batch_idx: int) -> torch.Generator:
        """Return the random stream of this step for one use; see :func:`~amask_solo._random.stream`."""
        attached = self._trainer is not None
        step = self.trainer.fit_loop.total_batch_idx if attached else batch_idx
        return stream(name, seed=self._seed, rank=self.global_rank, step=step, device=self.device)

    def _backbones(self) -> list[nn.Module]:
        host = load_host()
        return [getattr(self, name) for name in (host.backbone, host.momentum_backbone) if hasattr(self, name)]

    def configure_callbacks(self) -> list[Callback]:
        """Add the monitors of the game in the host's own scripts, which do not know them."""
        trainer: Any = self.trainer
        watched = any(isinstance(callback, GameMonitor) for callback in trainer.callbacks)
        return [] if watched else [GameMonitor(), AdvantageMonitor()]

    def configure_optimizers(self) -> Any:
        """Make the host's optimizer and schedule, which ends early if the masker learns alone at the end."""
        return end_early(super().configure_optimizers(), self.alone)

    def on_fit_start(self) -> None:
        """Make the masker's optimizer, and the masker equal on all ranks."""
        super().on_fit_start()
        check_precision(self.adversary, self.trainer.precision)
        self._seed, self.step = torch.initial_seed(), None
        self.adversary.start()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the masker's optimizer."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["adversary"] = {"optimizer": self.adversary.optimizer_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the state of the masker's optimizer."""
        super().on_load_checkpoint(checkpoint)
        self.adversary.resume(checkpoint.get("adversary", {}).get("optimizer", {}))


@cache
def wrap(base: type[LightningModule]) -> type[LightningModule]:
    """Return an adversarially masked version of a method: a subclass whose configuration may have ``adversary``.

    Args:
        base: A method of the host, or your own subclass of its ``BaseMethod`` or ``BaseMomentumMethod``.

    Raises:
        UserError: If the method cannot be masked (MAE hides patches by itself).
    """
    refuse_unmaskable(base)
    stock = load_host().adapt(base)
    members = {"stock": stock, "__module__": __name__, "__doc__": f"{base.__name__}, masked; read :class:`Masked`."}
    return type(f"Amask{base.__name__}", (Masked, stock), members)
