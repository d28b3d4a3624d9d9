"""The masker's side of the game, without a host."""

import math

import pytest
import torch
from torch import nn

from amask_solo.constraints import WeightedSum
from amask_solo.constraints.base import Constraint
from amask_solo.fills import Zero
from amask_solo.game.adversary import Adversary, part_size, schedule_factor
from amask_solo.game.game import Game
from amask_solo.hard_views import AdversarialPixels, Beside, Chain, CutMix
from amask_solo.maskers import RandomMasker, SequentialMasker


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def adversary(masker=None, constraint=None, hard_views=None, **settings):
    parts = {} if hard_views is None else {"hard_views": hard_views}
    game = Game(masker or SequentialMasker(), Zero(), constraint or WeightedSum({}), draw="all", **parts)
    return Adversary(game, **settings)


def move(player, progress=0.0):
    player.gather(
        player.masker(torch.zeros(2, 3, 16, 16)).square().mean() + player.game.constraint(torch.ones(1, 1, 2, 2))
    )
    player.move(progress, lambda optimizer: optimizer.step())


@pytest.mark.parametrize(("share", "batch", "size"), [(0.5, 64, 32), (0.01, 64, 2), (1.0, 2, 2)])
def test_further_moves_see_a_share_of_the_batch_but_two_images_at_least(share, batch, size):
    assert part_size(share, batch) == size


class Frozen(Constraint):
    """Has a parameter that nobody may move, and another one."""

    def __init__(self):
        super().__init__()
        self.frozen, self.learned = nn.Parameter(torch.ones(()), requires_grad=False), nn.Parameter(torch.ones(()))

    def forward(self, masks):
        return (self.frozen * self.learned * masks).mean()


def test_a_frozen_parameter_of_a_constraint_stays_and_the_others_move():
    player = adversary(constraint=Frozen())
    player.start()
    move(player)
    assert player.game.constraint.frozen == 1
    assert player.game.constraint.learned != 1


def test_no_constraint_is_learned_with_a_masker_that_is_not():
    assert adversary(RandomMasker(), Frozen()).learned() == []


def test_the_state_of_a_checkpoint_is_taken_up_once():
    player = adversary()
    player.start()
    move(player)
    state = player.optimizer_state()
    player.resume(state)
    for steps in (1, 0):  # a second training starts with an optimizer of its own
        player.start()
        assert [float(known["step"]) for known in player.optimizer_state()["state"].values()][:1] == [1.0] * steps


@pytest.mark.parametrize("setting", [{"warmup": 0.1}, {"schedule": "cosine"}])
def test_shares_of_a_training_without_an_end_are_refused(setting):
    player = adversary(**setting)
    player.start()
    with pytest.raises(ValueError, match="with an end"):
        move(player, math.nan)


def test_a_constant_rate_needs_no_end():
    assert schedule_factor(math.nan, schedule="constant", warmup=0.0) == 1.0


def test_a_learning_rate_follows_the_schedule_from_its_own_height():
    player = adversary(optimizer=lambda p: torch.optim.SGD(p, lr=0.5), schedule="cosine", warmup=0.5)
    player.start()
    rates = []
    for progress in (0.25, 0.5, 0.75, 1.0):
        move(player, progress)
        rates += [group["lr"] for group in player.optimizer.param_groups]
    assert rates == pytest.approx([0.25, 0.5, 0.25, 0.0])


def test_a_preview_shows_the_hard_views_too():
    images = torch.rand(3, 3, 16, 16, generator=source()) + 1
    hidden = {}
    for name, hard in (("none", Chain()), ("cutmix", CutMix(RandomMasker(area=0.5)))):
        preview = adversary(RandomMasker(area=0.25), hard_views=hard).preview(images, generator=source(1))
        masks, hidden[name] = preview
        torch.testing.assert_close(hidden["none"], images * (1 - masks[:, -1:]))
    mixed = (hidden["cutmix"] != hidden["none"]).any(dim=1)
    assert 0.2 < mixed.float().mean() < 0.6  # of the half that is pasted, some was hidden in both images
    pasted = hidden["none"].roll(1, dims=0)
    assert torch.equal(hidden["cutmix"].permute(0, 2, 3, 1)[mixed], pasted.permute(0, 2, 3, 1)[mixed])


def test_a_preview_has_no_objective_to_attack():
    images = torch.randn(3, 3, 16, 16, generator=source())
    attack = Beside({"attack": AdversarialPixels(norm="l2", steps=2)})
    found, plain = (
        adversary(RandomMasker(), hard_views=hard).preview(images, generator=source(1)) for hard in (attack, Chain())
    )
    torch.testing.assert_close(found, plain)
