"""How encoder and masker take turns."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amask_solo._types import BaseLoss, Images, Masks, Scalar, Views
from amask_solo.game import Game


class Board(NamedTuple):
    """All that a turn needs: the game, the clean views, which of them is masked, and the host's objective."""

    game: Game
    views: Views
    side: int
    loss: BaseLoss
    generator: torch.Generator | None = None


class Turn(NamedTuple):
    """One pass through the game: what to minimize, and what was seen on the way."""

    objective: Scalar
    loss: Scalar
    penalty: Scalar
    view: Images
    masks: Masks
    shown: Masks
    hard: Images

    def detach(self) -> "Turn":
        """Return the turn without its graph."""
        return Turn(*(tensor.detach() for tensor in self))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, masks: Tensor) -> Tensor:  # noqa: ARG004
        return masks.view_as(masks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return -grad


def reverse_gradient(masks: Masks) -> Masks:
    """Return the masks unchanged; the gradient changes its sign on the way back.

    References:
        Ganin and Lempitsky, `Unsupervised Domain Adaptation by Backpropagation
        <https://arxiv.org/abs/1409.7495>`_, ICML 2015.
    """
    return _Reverse.apply(masks)


class UpdateRule(ABC):
    """When the masker learns from the game."""

    @abstractmethod
    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:
        """Play for the batch's backward pass; ``moves`` says whether the masker learns in this step."""

    @abstractmethod
    def masker_turn(self, board: Board) -> Turn | None:
        """Play for the masker alone, after the encoder has moved; ``None`` if it has learned already."""


class Reversal(UpdateRule):
    """One forward and one backward pass for both players.

    The gradient changes its sign between mask and pixels: the encoder descends and the masker ascends on the same loss.
    About half the cost of :class:`Alternating`. Ours.
    """

    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:
        """Play once for both players."""
        if not moves:
            return _turn(board, learns=False)
        turn = _turn(board, learns=True, expose=reverse_gradient)
        return turn._replace(objective=turn.loss + turn.penalty)

    def masker_turn(self, board: Board) -> None:
        """Do nothing: the masker's gradient came with the encoder's."""


class Alternating(UpdateRule):
    """The encoder steps against given masks, then the masker steps against the new encoder, with masks drawn anew.

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_,
        ICML 2022; the order of the two steps follows the authors' code.
    """

    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:  # noqa: ARG002
        """Play for the encoder."""
        return _turn(board, learns=False)

    def masker_turn(self, board: Board) -> Turn:
        """Play for the masker: it minimizes the penalty minus the loss."""
        turn = _turn(board, learns=True)
        return turn._replace(objective=turn.penalty - turn.loss)


def _turn(board: Board, *, learns: bool, expose: Any = lambda masks: masks) -> Turn:
    game, view = board.game, board.views[board.side]
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        masks = game.propose(view, generator=board.generator)
        penalty = game.constraint(masks)
        shown = game.show(masks, generator=board.generator)
    entries = game.entries(board.views, expose(shown), board.side, generator=board.generator)
    loss = game.value(entries, board.loss)
    return Turn(loss, loss, penalty, view, masks, shown, entries[-1].views[board.side])
