"""No part of a step waits for a device.

Tensors on ``meta`` have shapes and no numbers: who looks at a number there (and on a GPU would wait for it) fails.
"""

import pytest
import torch

from amask_solo.game.game import Game
from amask_solo.game.updates import Alternating, Board, Reversal
from amask_solo.masked.settings import described
from tests.contracts.configs import build, names
from tests.daily import one_in

PARTS = {"masker": "sequential_three", "fill": "zero", "constraint": "none", "hard_views": "none"}
EVERY_CASE = [(part, name, draw) for part in PARTS for name in names(part) for draw in ("one", "all")]


def play(draw, rule, **chosen):
    """Play one step and return the gradients of the masker's and the encoder's parameters."""
    parts = {part: build(part, chosen.get(part, name)) for part, name in PARTS.items()}
    game = Game(**parts, draw=draw, share=0.5).to("meta")
    views = [torch.randn(8, 3, 32, 32, device="meta") for _ in range(2)]
    encoder = torch.nn.Conv2d(3, 4, 3, device="meta")
    board = Board(game, views, [1], lambda views: (encoder(views[0]) * encoder(views[1])).mean())
    rule.encoder_turn(board, moves=True).objective.backward()
    if not isinstance(rule, Reversal) and list(game.parameters()):
        rule.masker_turn(board).objective.backward()
    return [parameter.grad for network in (game.masker, encoder) for parameter in network.parameters()]


@pytest.mark.parametrize("localiser", [name for name in names("localiser") if name != "weights"])
def test_neither_does_a_localiser(localiser):
    masker = build("masker", "saliency", localiser=described("localiser", localiser)).to("meta")
    assert masker(torch.randn(8, 3, 32, 32, device="meta")).shape == (8, 1, 32, 32)


@pytest.mark.parametrize(("part", "name", "draw"), one_in(3, EVERY_CASE))
def test_a_step_looks_at_no_number_on_the_device(part, name, draw):
    assert all(gradient is not None for gradient in play(draw, Reversal(), **{part: name}))


def test_neither_does_the_masker_s_own_turn():
    assert all(gradient is not None for gradient in play("all", Alternating()))


def test_who_looks_at_a_number_fails():
    with pytest.raises(RuntimeError, match="meta"):
        torch.ones(1, device="meta").item()
