"""The update rules by which encoder and masker take turns.

One turn::

    masks = masker(view)                            # Game.propose
    penalty = constraint(masks)                     # Game.penalty
    shown = one drawn mask of each image, or all    # Game.show
    for each entry that these masks make:           # Game.entries
        loss += weight * host_step(its views)       # Game.value

The encoder descends on the loss and the masker on penalty - loss, in the same backward pass or each in its own turn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amask_solo._types import BaseLoss, Images, Masks, Scalar, Views
from amask_solo.game.game import Game, masked_views
from amask_solo.game.memory import Cut, cut, made_anew, value_one_by_one


class Board(NamedTuple):
    """The inputs of a turn.

    Attributes:
        game: The game.
        views: The clean views.
        sides: The indexes of the masked views, each with its own masks; hard views change the last one.
        loss: The host's objective.
        generator: Source of randomness.
        shared: The host's tensors that get a gradient in every entry, if each entry's graph is to be freed before the
            next one is played; see :mod:`amask_solo.game.memory`. ``None`` keeps all graphs.
        probe: The host's objective without side effects, for an attack; ``None`` if ``loss`` itself has none.
    """

    game: Game
    views: Views
    sides: Sequence[int]
    loss: BaseLoss
    generator: torch.Generator | None = None
    shared: Sequence[Cut] | None = None
    probe: BaseLoss | None = None


class Turn(NamedTuple):
    """The result of one pass through the game.

    Attributes:
        objective: What to descend on. With :class:`Reversal` it contains the penalty, and its backward pass gives both
            players their gradients.
        loss: The weighted sum of the host's losses; to descend on it alone would leave the constraint out.
        penalty: The constraint's price of all proposed masks.
        view: The clean masked view.
        masks: The proposed masks.
        shown: The masks that are shown.
    """

    objective: Scalar
    loss: Scalar
    penalty: Scalar
    view: Images
    masks: Masks
    shown: Masks

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
    """Return the masks unchanged; the backward pass changes the sign of the gradient.

    References:
        Ganin and Lempitsky, `Unsupervised Domain Adaptation by Backpropagation
        <https://arxiv.org/abs/1409.7495>`_, ICML 2015.
    """
    return _Reverse.apply(masks)


class UpdateRule(ABC):
    """How and when the masker learns from the game.

    Attributes:
        two_turns: Whether the masker takes its own turn after the encoder's step; otherwise its gradient comes from the
            encoder's backward pass.
    """

    two_turns = True

    @abstractmethod
    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:
        """Play the turn for the trainer's backward pass; ``moves`` says whether the masker learns in this step."""

    def masker_turn(self, board: Board) -> Turn:
        """Play against the present encoder: the masker minimizes the penalty minus the loss."""
        turn = _turn(board, learns=True)
        return turn._replace(objective=turn.penalty - turn.loss)


class Reversal(UpdateRule):
    """One forward and one backward pass for both players.

    The gradient changes its sign between pixels and masks, so that the encoder descends and the masker ascends on the
    same loss. This costs about half as much as :class:`Alternating`. Ours.
    """

    two_turns = False

    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:
        """Play once for both players."""
        if not moves:
            return _turn(board, learns=False)
        turn = _turn(board, learns=True, expose=reverse_gradient)
        # The penalty is added: only the gradient of the loss changes its sign on the way to the masks.
        return turn._replace(objective=turn.loss + turn.penalty)


class Alternating(UpdateRule):
    """The encoder steps against fixed masks, then the masker steps against the new encoder, with masks drawn anew.

    If gradients are accumulated, the masker's turn follows each batch, and only the last turn sees the new encoder.

    References:
        Shi et al., `Adversarial Masking for Self-Supervised Learning <https://arxiv.org/abs/2201.13100>`_,
        ICML 2022; the order of the two steps follows the authors' code.
    """

    def encoder_turn(self, board: Board, *, moves: bool) -> Turn:  # noqa: ARG002
        """Play for the encoder."""
        return _turn(board, learns=False)


def _turn(board: Board, *, learns: bool, expose: Callable[[Masks], Masks] = lambda masks: masks) -> Turn:
    game, view = board.game, masked_views(board.views, board.sides)
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        propose = game.propose if board.shared is None else partial(made_anew, game.propose)
        masks = propose(view, generator=board.generator)
        penalty = game.penalty(masks, board.sides)
        shown = game.show(masks, board.sides, generator=board.generator)
    loss = _value(board, expose(shown))
    return Turn(loss, loss, penalty, view, masks, shown)


def _value(board: Board, shown: Masks) -> Scalar:
    game, views, sides, loss, generator, shared, probe = board
    if shared is None:
        return game.value(game.entries(views, shown, sides, probe or loss, generator=generator), loss)
    known = cut(shown)
    entries = game.entries(views, known.leaf, sides, probe or loss, generator=generator)
    return value_one_by_one(entries, loss, [known, *shared])
