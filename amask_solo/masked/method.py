"""Any method of the host, adversarially masked: the dynamic leaf class.

A subclass, made at run time, is the only inheritance that the host allows: a child module cannot log, and the host's
own evaluation looks for ``backbone.*`` at the root of the checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo._random import stream, untouched
from amask_solo._types import Images, Scalar
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.game.adversary import Adversary
from amask_solo.game.game import masked_views
from amask_solo.game.memory import Cut
from amask_solo.game.updates import Board
from amask_solo.hosts.features import feature_map
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_class
from amask_solo.hosts.refusals import refuse_side, refuse_unmaskable
from amask_solo.localisers.backbone import lend_backbone
from amask_solo.localisers.handover import lend_clock
from amask_solo.masked.clean_view import EncodeOnce, encode_once, first_part, in_memory_format
from amask_solo.masked.distributed import average_gradients, same_on_all_ranks
from amask_solo.masked.loss import HostLoss
from amask_solo.masked.negatives import refuse_negatives
from amask_solo.masked.settings import build_settings, check_precision
from amask_solo.masked.side_effects import Buffers, quiet, snapshot
from amask_solo.masked.tokens import drop_tokens

CLASS_LOSSES = ("train_class_loss", "train_momentum_class_loss")


@cache
def wrap(base: type[LightningModule]) -> type[LightningModule]:  # noqa: C901 - the class is made at run time, in here
    """Return an adversarially masked version of a method.

    Args:
        base: A method of the host, or your own subclass of its ``BaseMethod`` or ``BaseMomentumMethod``.

    Returns:
        A subclass that takes the same configuration, with an optional node ``adversary``.

    Raises:
        UserError: If the method cannot be masked (MAE hides patches by itself).
    """
    refuse_unmaskable(base)
    host = load_host()
    base = host.adapt(base)
    backbones, facts = (host.backbone, host.momentum_backbone), by_class(base)

    class Masked(base):
        """The host's method with an adversary; read :meth:`training_step`."""

        adversary: Adversary
        muted = False
        _seed = 0
        _stepped = 0

        def __init__(self, cfg: DictConfig) -> None:
            super().__init__(cfg)
            self.adversary, side, self.loud_on = build_settings(cfg)
            if self.adversary.game.drop_tokens:
                drop_tokens(self.adversary.game, self._backbones(), cfg.backbone)
            lend_backbone(self.adversary, self.look)
            lend_clock(self.adversary, self.epoch)
            if self.adversary.learned():
                refuse_side(base, side)
            self.side = facts.sides[0] if side in (None, "both") else side
            self.sides = [1 - self.side, self.side] if side == "both" else [self.side]
            if self.adversary.game.negatives is not None:
                refuse_negatives(self, base)
            self.class_losses: list[Tensor] | None = None
            self._before: Buffers | None = None
            # DDP must not wait for gradients of a masker that does not move in every step; see `distributed`.
            self._ddp_params_and_buffers_to_ignore = [f"adversary.{name}" for name in self.adversary.state_dict()]

        def training_step(self, batch: Sequence, batch_idx: int) -> Scalar:
            """Hand the host harder views and read its loss back.

            The order of a step stands in :mod:`amask_solo.game.updates`. Where the masker's gradient comes with the
            encoder's, both move at once; else the masker's turn is played in :meth:`on_train_batch_end`.
            """
            if not self.plays(self.current_epoch):
                return super().training_step(batch, batch_idx)
            batch = in_memory_format(self, batch)
            views = batch[1]
            moves = self.adversary.moves(self.global_step)
            if moves and (self.adversary.two_turns or self.adversary.steps > 1):
                self._before = snapshot(self, skip_statistics=True)
            with self._encode_once(views) as caches:
                last = self.adversary.game.num_entries + (self.loud_on == "clean")
                loss = HostLoss(self, base, batch, batch_idx, caches=caches, loud_call=last)
                shared = loss.shared() if self.adversary.memory_efficient else None
                turn = self.adversary.update.encoder_turn(self._board(loss, "masks", shared), moves=moves)
                if self.loud_on == "clean":
                    loss(views)
            self.adversary.last = turn.detach()
            return turn.objective + loss.class_loss  # the online classifier learns, but is no part of the game

        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            """Move the masker with the encoder, if its gradient came with the encoder's."""
            super().on_before_optimizer_step(optimizer)
            if not self.adversary.two_turns:
                self._move()

        def on_train_batch_end(self, outputs: Any, batch: Sequence, batch_idx: int) -> None:
            """Give the masker its own turn, if it takes one, before the host updates its teacher."""
            if self._before is not None and self.adversary.two_turns:
                self._masker_turn(batch, batch_idx)
            if self.global_step > self._stepped:
                self._stepped = self.global_step
                if self.adversary.two_turns:
                    self._move()
                if self._before is not None and self.adversary.steps > 1:
                    self._further_moves(batch, batch_idx)
            self._before = None
            super().on_train_batch_end(outputs, batch, batch_idx)

        def _masker_turn(self, batch: Sequence, batch_idx: int) -> None:
            with self.trainer.precision_plugin.train_step_context(), self.quiet_loss(batch, batch_idx) as loss:
                shared = [] if self.adversary.memory_efficient else None
                turn = self.adversary.update.masker_turn(self._board(loss, "masker's turn", shared))
            self.adversary.gather(turn.objective / self.trainer.accumulate_grad_batches)
            self.adversary.last = turn.detach()

        def _further_moves(self, batch: Sequence, batch_idx: int) -> None:
            part = first_part(batch, self.adversary.part)
            with (
                untouched(self.device),  # a host may draw numbers in its objective
                self.trainer.precision_plugin.train_step_context(),
                self.quiet_loss(part, batch_idx) as loss,
            ):
                for number in range(1, self.adversary.steps):
                    shared = [] if self.adversary.memory_efficient else None
                    board = self._board(loss, f"further move {number}", shared)
                    self.adversary.gather(self.adversary.update.masker_turn(board).objective)
                    self._move()

        def _board(self, loss: HostLoss, name: str, shared: Sequence[Cut] | None) -> Board:
            generator = self.random_stream(name, loss.batch_idx)
            return Board(self.adversary.game, loss.clean, self.sides, loss, generator, shared, loss.probe)

        def _move(self) -> None:
            average_gradients(self.adversary.learned())
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            progress = self.global_step / max(1, self.trainer.estimated_stepping_batches)
            self.adversary.step(progress, scaler.step if scaler else lambda o: o.step())

        @contextmanager
        def quiet_loss(self, batch: Sequence, batch_idx: int) -> Iterator[HostLoss]:
            """Give the objective on a batch, without traces, and with a gradient to what differs from the clean views.

            In the masker's turns on a batch, it sees the buffers as the encoder's turn did: queues without the batch.
            """
            batch = in_memory_format(self, batch)
            with self._encode_once(batch[1], grad=False) as caches:
                loss = HostLoss(self, base, batch, batch_idx, caches=caches, loud_call=None, before=self._before)
                with quiet(self, self._before):
                    loss.remember_clean_views()
                yield loss

        @contextmanager
        def observed_loss(self, batch: Sequence, batch_idx: int) -> Iterator[HostLoss]:
            """Give the objective on a batch to one who only looks on: no gradient, and no traces of anything done."""
            with torch.no_grad(), untouched(self.device), quiet(self), self.quiet_loss(batch, batch_idx) as loss:
                yield loss

        def hard_views(self, batch: Sequence, batch_idx: int) -> list[Images]:
            """Return the hard views of a batch, of each entry of the sum, as a step would show them; no traces."""
            game = self.adversary.game
            with self.observed_loss(batch, batch_idx) as loss:
                board = self._board(loss, "shown", None)
                masks = game.propose(masked_views(loss.clean, self.sides), generator=board.generator)
                entries = board.entries(game.show(masks, generator=board.generator))
                return [entry.views[entry.side] for entry in entries]

        def plays(self, epoch: int) -> bool:
            """Return whether the game is on: the adversary has started and the objective has a gradient."""
            return epoch >= max(self.adversary.start_epoch, facts.first_epoch)

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Log, unless the call is a quiet one."""
            if not self.muted:
                super().log(*args, **kwargs)

        def log_dict(self, dictionary: Any, *args: Any, **kwargs: Any) -> None:
            """Log, unless the call is a quiet one; keep the online classifier's loss, which is not the game's."""
            if self.class_losses is not None:
                # A copy, since a host may go on adding to the tensor that it has logged.
                self.class_losses += [dictionary[key].clone() for key in CLASS_LOSSES if key in dictionary]
            if not self.muted:
                super().log_dict(dictionary, *args, **kwargs)

        def look(self, images: Images) -> Tensor:
            """Return the last map of features ``(B, d, h, w)`` of the teacher, or of the backbone if there is none."""
            return feature_map(self._backbones()[-1], images)

        def epoch(self) -> int:
            """Return the epoch, from 0."""
            return self.current_epoch

        def _backbones(self) -> list[nn.Module]:
            return [getattr(self, name) for name in backbones if hasattr(self, name)]

        def _encode_once(
            self, views: Sequence[Images], *, grad: bool = True
        ) -> AbstractContextManager[list[EncodeOnce]]:
            return encode_once(self._backbones(), views, grad=grad)

        def random_stream(self, name: str, batch_idx: int) -> torch.Generator:
            """Return the random numbers of this step for one use; see :func:`~amask_solo._random.stream`."""
            attached = self._trainer is not None
            step = self.trainer.fit_loop.total_batch_idx if attached else batch_idx
            return stream(name, seed=self._seed, rank=self.global_rank, step=step, device=self.device)

        def configure_callbacks(self) -> list[Callback]:
            """Watch the game in the host's own scripts too, which know no callback of ours."""
            watched = any(isinstance(callback, GameMonitor) for callback in self.trainer.callbacks)
            return [] if watched else [GameMonitor(), AdvantageMonitor()]

        def on_fit_start(self) -> None:
            """Make the masker's optimizer, with the same masker on every rank."""
            super().on_fit_start()
            check_precision(self.adversary, self.trainer.precision)
            self._seed = torch.initial_seed()
            self._stepped = self.global_step
            same_on_all_ranks(self.adversary)
            self.adversary.start()

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            """Add the state of the masker's optimizer."""
            super().on_save_checkpoint(checkpoint)
            checkpoint["adversary"] = {"optimizer": self.adversary.optimizer_state()}

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            """Take up the state of the masker's optimizer."""
            super().on_load_checkpoint(checkpoint)
            self.adversary.resume(checkpoint.get("adversary", {}).get("optimizer", {}))

    Masked.__name__ = Masked.__qualname__ = f"Amask{base.__name__}"
    Masked.__module__ = __name__
    return Masked
