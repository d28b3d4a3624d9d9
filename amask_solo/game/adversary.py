"""The masker's side of the game: its turns and its private optimizer."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from math import nan
from typing import Any, NamedTuple

import torch
from torch import nn

from amask_solo._types import BaseLoss, Images, Masks, Scalar, Views
from amask_solo.game.distributed import average_gradients, same_on_all_ranks
from amask_solo.game.game import Game
from amask_solo.game.updates import Board, Reversal, Turn, UpdateRule
from amask_solo.occlusion import pixels
from amask_solo.schedules import Schedule, schedule_factor

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
ADAMW = partial(torch.optim.AdamW, lr=1e-3)
PART = 0.5
"""The default share of the batch that further moves of the masker use."""


def _refuse_optimizer(make: OptimizerFactory) -> None:
    """Raise a ``ValueError`` now if the optimizer, which is only made when training starts, refuses its settings."""
    try:
        make([nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError) as error:
        raise ValueError(f"optimizer: {error}") from error


def _step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()


def part_size(share: float, batch: int) -> int:
    """Return the number of images in a share of the batch; at least two, because batch statistics need them."""
    return max(2, round(share * batch))


class Preview(NamedTuple):
    """All masks of some views, and the views as the last entry of the game shows them, occluded and hardened."""

    masks: Masks
    hidden: Images


class Adversary(nn.Module):
    """The masker with its game, its update rule and its optimizer.

    The optimizer is private: the host's optimizer, schedule and step counter never see it. It also trains the
    parameters of the constraint, if there are any.

    A masked method of the host calls the smaller methods; a training loop of your own calls two of them, :meth:`play`
    and :meth:`step`, and needs no host::

        for x1, x2 in loader:                                           # two views of a batch, (B, C, H, W) each
            turn = adversary.play([x1, x2], loss)                       # loss: views -> scalar
            optimizer.zero_grad()
            turn.objective.backward()
            optimizer.step()
            adversary.step()

    Args:
        game: The game.
        update: How the players take turns; by default, one backward pass for both (:class:`Reversal`).
        optimizer: Makes the masker's optimizer from its parameters. ADIOS uses SGD with momentum 0.9.
        schedule: The schedule of the masker's learning rate from ``start_epoch`` on; see
            :func:`~amask_solo.schedules.schedule_factor`.
        warmup: The share of training, from ``start_epoch`` on, over which that learning rate rises, in [0, 1).
        every: The masker moves in every k-th step of the host's optimizer; at least 1.
        steps: The number of the masker's moves in such a step, at least 1: one by the update rule, and further ones
            against the encoder after its step. A masker with a single move falls behind an encoder that learns fast
            (ours).
        part: The share of the batch that further moves use, in (0, 1]; half of the batch costs half.
        start_epoch: The first epoch, from 0, in which anything is hidden; before it, the method is the stock method.
        compile: Whether the masker's part of a training step is compiled (:func:`torch.compile`), once for each size of
            batch, so that it starts few operations. Masks are the same up to rounding; monitors see uncompiled ones.
        memory_efficient: Whether to keep the graph of only one entry of the sum at a time. This takes the memory of one
            mask and a few percent more time; see :mod:`amask_solo.game.memory`. Under DDP, it needs the plain strategy.

    Raises:
        ValueError: If a number is out of range, including those of the optimizer.
    """

    def __init__(
        self,
        game: Game,
        *,
        update: UpdateRule | None = None,
        optimizer: OptimizerFactory = ADAMW,
        schedule: Schedule = "constant",
        warmup: float = 0.0,
        every: int = 1,
        steps: int = 1,
        part: float = PART,
        start_epoch: int = 0,
        compile: bool = False,  # noqa: A002
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        if every < 1 or steps < 1:
            raise ValueError(f"Expected every and steps to be at least 1, but got {every} and {steps}.")
        if not 0 < part <= 1:
            raise ValueError(f"Expected part to be a share of the batch in (0, 1], but got {part}.")
        if start_epoch < 0:
            raise ValueError(f"Expected start_epoch to be 0 or more, but got {start_epoch}.")
        if not 0 <= warmup < 1:
            raise ValueError(f"Expected warmup to be a share in [0, 1), but got {warmup}.")
        if schedule not in ("constant", "cosine"):
            raise ValueError(f"Expected schedule 'constant' or 'cosine', but got {schedule!r}.")
        _refuse_optimizer(optimizer)
        self.game = game
        self.update = update or Reversal()
        self.every, self.start_epoch = every, start_epoch
        self.steps, self.part = steps, part
        self.schedule, self.warmup = schedule, warmup
        self.compiles = compile
        self.memory_efficient = memory_efficient and game.num_entries > 1
        self.optimizer: torch.optim.Optimizer | None = None
        self._make_optimizer = optimizer
        self._resumed: dict[str, Any] | None = None
        self._steps = 0  # of a loop without a host, which counts its own
        self._board: Board | None = None

    @property
    def masker(self) -> nn.Module:
        """The network that proposes masks."""
        return self.game.masker

    @property
    def two_turns(self) -> bool:
        """Whether the masker takes its own turn after the encoder's step."""
        return self.update.two_turns

    @property
    def plays_again(self) -> bool:
        """Whether the masker plays after the encoder's step: its own turn, or further moves."""
        return self.two_turns or self.steps > 1

    def learned(self) -> list[nn.Parameter]:
        """Return the trained parameters of masker and constraint; none if the masker has none."""
        masker, constraint = (
            [p for p in part.parameters() if p.requires_grad] for part in (self.masker, self.game.constraint)
        )
        return masker + constraint if masker else []

    def moves(self, step: int) -> bool:
        """Return whether the masker learns in this step of the host's optimizer."""
        return step % self.every == 0 and bool(self.learned())

    def start(self) -> None:
        """Make the masker equal in all processes, and its optimizer, once the parameters are on their device.

        The optimizer gets the state from :meth:`resume`.
        """
        same_on_all_ranks(self)
        resumed, self._resumed = self._resumed, None
        if not self.learned():
            return
        self.optimizer = self._make_optimizer(self.learned())
        for group in self.optimizer.param_groups:
            group["base_lr"] = group["lr"]
        self._steps = 0 if resumed is None else resumed.get("steps", 0)
        if resumed is not None:
            self.optimizer.load_state_dict(resumed)
        if self.compiles:
            self.masker.compile(fullgraph=True, dynamic=False)

    def uncompiled(self) -> AbstractContextManager:
        """Return a context in which nothing is compiled, for batches of other sizes than those of training."""
        return torch.compiler.set_stance("force_eager") if self.compiles else nullcontext()

    def gather(self, objective: Scalar) -> None:
        """Accumulate the gradients of the masker's objective in its parameters, and in no others."""
        parameters = self.learned()
        gradients = torch.autograd.grad(objective, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def play(
        self, views: Views, loss: BaseLoss, *, sides: Sequence[int] = (1,), generator: torch.Generator | None = None
    ) -> Turn:
        """Play the encoder's turn in a training loop without a host: descend on ``turn.objective``.

        The objective is all that the encoder has to descend on; with :class:`~amask_solo.game.updates.Reversal` its
        backward pass also gives the masker its gradients. Loss and penalty have no graph, so nobody descends on the
        loss alone, which would leave the constraint out. Let :meth:`step` follow the step of the encoder's optimizer;
        with accumulated gradients, several plays come before it, of which turns of the masker's own see the last alone.
        In epochs without masks, leave both out.

        Args:
            views: The clean views, ``(B, C, H, W)`` each, on the device of the adversary.
            loss: The objective as a function of the views. It is called once for each entry of the game's sum, again
                in each turn of the masker's own, and before each entry once for each step of an attack
                (:class:`~amask_solo.hard_views.AdversarialPixels`); batch statistics and queues see every call.
            sides: The indexes of the masked views, unless the game has pairs, which say it.
            generator: Source of randomness for masks and fill, on that device.

        Raises:
            ValueError: If a setting takes a method of the host: hard negatives, ``drop_tokens``, ``memory_efficient``
                or ``start_epoch``.
        """
        game = self.game
        if game.negatives is not None or game.drop_tokens or self.memory_efficient or self.start_epoch:
            raise ValueError(
                "Expected an adversary without negatives, drop_tokens, memory_efficient and start_epoch, which take a "
                "method of solo-learn; a loop of your own decides itself in which epochs it calls play."
            )
        if self.optimizer is None:
            self.start()
        moves = self.moves(self._steps)
        board = Board(game, views, game.sides or sides, loss, generator)
        self._board = board if moves else None
        turn = self.update.encoder_turn(board, moves=moves)
        return turn._replace(loss=turn.loss.detach(), penalty=turn.penalty.detach())

    def step(self, progress: float = nan, apply: Callable[[torch.optim.Optimizer], Any] = _step) -> None:
        """Move the masker after :meth:`play` and the encoder's step, by turns of its own too where its settings say so.

        Call it once for each step of the encoder's optimizer, by which ``every`` counts.

        Args:
            progress: The share of training that is over, for ``schedule`` and ``warmup``; NaN if it has no set end.
            apply: Steps an optimizer. If the objective was scaled by a gradient scaler, this must be ``scaler.step``.

        Raises:
            ValueError: If the masker should have its gradients from the objective, and has none; or if it has turns of
                its own, whose gradients no scaler has scaled, and ``apply`` is a scaler's.
        """
        board, self._board = self._board, None
        self._steps += 1
        if board is None:
            return
        if self.plays_again and isinstance(getattr(apply, "__self__", None), torch.amp.GradScaler):
            raise ValueError(
                "Expected update=Reversal() and steps=1 with a gradient scaler, which serves one backward pass a step; "
                "take those, or bfloat16, which needs no scaler."
            )
        if not self.two_turns and all(p.grad is None for p in self.learned()):
            raise ValueError(
                "Expected turn.objective.backward() between play and step, but the masker got no gradient; descend on "
                "the objective, and clear the gradients of your own optimizer only."
            )
        if self.two_turns:
            self.gather(self.update.masker_turn(board).objective)
        self.move(progress, apply)
        part = part_size(self.part, len(board.views[0]))
        board = board._replace(views=[view[:part] for view in board.views])
        for _ in range(1, self.steps):
            self.gather(self.update.masker_turn(board).objective)
            self.move(progress, apply)

    def move(self, progress: float, apply: Callable[[torch.optim.Optimizer], Any]) -> None:
        """Update the masker by its gradients, averaged over all processes; the arguments are those of :meth:`step`."""
        if self.optimizer is None or all(p.grad is None for p in self.learned()):
            return
        average_gradients(self.learned())
        factor = schedule_factor(progress, schedule=self.schedule, warmup=self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["base_lr"]
        apply(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        # Within a context of autocast, further turns would take copies of the weights as they were before.
        torch.clear_autocast_cache()

    def optimizer_state(self) -> dict[str, Any]:
        """Return the optimizer's state, and the count of :meth:`step`, as tensors and plain containers."""
        return {} if self.optimizer is None else {**self.optimizer.state_dict(), "steps": self._steps}

    def resume(self, optimizer_state: dict[str, Any]) -> None:
        """Keep a checkpoint's optimizer state for the next call of :meth:`start`."""
        self._resumed = optimizer_state or None

    @torch.no_grad()
    def preview(self, images: Images, *, generator: torch.Generator | None = None) -> Preview:
        """Return the effect of the present masker and hard views on some views, without a host.

        Without an objective, an attack does not get beyond its starting point.
        """
        with self.uncompiled():
            masks = self.masker(images, generator=generator)
        shown = self.game.show(masks, generator=generator)
        *_, last = self.game.harder([images], shown, [0], _no_objective, generator=generator)
        view = last.views[last.side]
        return Preview(masks, pixels(view) if self.game.drop_tokens else view)


def _no_objective(views: Views) -> Scalar:
    return 0 * torch.stack([view.sum() for view in views]).sum()
