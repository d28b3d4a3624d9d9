"""Several weighted pairs of views a mask, and the terms in which a clean view predicts a masked one."""

import pytest
import torch

from amask_solo.constraints import InverseSine
from amask_solo.errors import UserError
from amask_solo.fills import Zero
from amask_solo.game.adversary import Adversary
from amask_solo.game.game import Game
from amask_solo.game.updates import Alternating, Reversal
from amask_solo.hosts.installed import load_host
from amask_solo.masked.clean_view import in_memory_format
from tests.daily import one_in
from tests.players import OneConvolution, attach, batch_of, build, fit, masker_node

pytestmark = pytest.mark.host

ALL = {"first": 0.25, "second": 0.25, "both": 0.2, "neither": 0.3}
SINE = {"_target_": "amask_solo.constraints.InverseSine"}


def played(name: str, **settings):
    settings = {"constraint": SINE, "draw": "all", **settings}
    node = masker_node(OneConvolution, num_masks=3)
    model = build(name, node, **{f"adversary.{key}": value for key, value in settings.items()})
    attach(model.double())
    return model


def turn(model, update: str = "reversal"):
    """Return the encoder's turn and the gradients of both players after a step."""
    batch = in_memory_format(model, batch_of(dtype=torch.float64))
    torch.manual_seed(2)
    model.training_step(batch, 0).backward()
    if update == "alternating":
        model._masker_turn(model.step)
    return model.step.turn, {key: p.grad for key, p in model.named_parameters() if p.grad is not None}


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-7, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")


def test_the_pair_that_a_method_has_by_itself_gives_the_same_gradients(double):
    for draw in ("one", "all"):
        (own, gradients), (paired, others) = (turn(played("byol", draw=draw, pairs=p)) for p in (None, {"second": 1}))
        assert torch.equal(own.loss, paired.loss)
        assert torch.equal(own.penalty, paired.penalty)
        assert all(torch.equal(others[key], value) for key, value in gradients.items())


def test_the_loss_is_the_weighted_sum_over_the_pairs_and_the_penalty_that_over_the_views(double):
    apart = {name: turn(played("byol", pairs={name: 1.0}))[0] for name in ("first", "second", "both")}
    together, _ = turn(played("byol", pairs=ALL))
    model = played("byol")
    batch = in_memory_format(model, batch_of(dtype=torch.float64))
    with model.observed_loss(batch, 0) as loss:
        clean = loss(loss.clean)
    expected = ALL["neither"] * clean + sum(ALL[name] * found.loss for name, found in apart.items())
    torch.testing.assert_close(together.loss, expected)
    torch.testing.assert_close(together.penalty, apart["first"].penalty + apart["second"].penalty)
    torch.testing.assert_close(together.penalty, apart["both"].penalty)


@pytest.mark.parametrize("settings", one_in(2, [{}, {"symmetric": False, "reduction": "sum"}]))
@pytest.mark.parametrize("draw", ["one", "all"])
def test_both_rules_and_one_graph_at_a_time_give_the_same_gradients(settings, draw, double):
    found = [
        turn(played("simsiam", pairs=ALL, draw=draw, update=update, memory_efficient=frugal, **settings), update)[1]
        for update, frugal in (("reversal", False), ("reversal", True), ("alternating", False), ("alternating", True))
    ]
    assert_same(found[1], found[0])
    assert_same(found[3], found[2])
    if draw == "all":  # a rule draws masks anew
        assert_same(found[2], found[0])


def test_both_views_show_the_mask_of_one_number_and_are_left_whole_together():
    game = played("simsiam", pairs=ALL, draw="one", share=0.5).adversary.game
    masks = torch.arange(1.0, 4).view(1, 3, 1, 1).expand(16, 3, 4, 4)
    first, second = game.show(masks, [0, 1], generator=torch.Generator().manual_seed(0)).chunk(2)
    assert torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_each_clean_view_is_encoded_once_and_the_pair_of_both_is_played_once():
    model = played("simsiam", pairs=ALL)
    passes, calls = [], []
    getattr(model, load_host().backbone).conv1.register_forward_hook(lambda *_: passes.append(1))
    model.predictor.register_forward_hook(lambda *_: calls.append(1))
    turn(model)
    assert len(passes) == 2 + 3 * (1 + 1 + 2)
    assert len(calls) == 2 * (1 + 3 * 3) == 2 * model.adversary.game.num_entries


def test_a_clean_view_that_predicts_a_masked_one_has_no_gradient_to_the_mask(double):
    (with_it, gradients), (without, others) = (
        turn(played("byol", pairs={"first": 1, "second": 1}, symmetric=symmetric)) for symmetric in (True, False)
    )
    assert without.loss < with_it.loss
    ours = {key: value for key, value in gradients.items() if key.startswith("adversary.")}
    assert_same({key: others[key] for key in ours}, ours)


@pytest.mark.parametrize("settings", [{"steps": 2}, {"loud": "clean", "update": "alternating"}, {"every": 2}])
def test_pairs_are_played_with_all_that_a_masker_may_be_asked_for(settings):
    settings = {"pairs": ALL, "symmetric": False, "constraint": SINE, **settings}
    node = masker_node(OneConvolution, num_masks=3)
    model = build("simsiam", node, **{f"adversary.{key}": value for key, value in settings.items()})
    before = [p.clone() for p in model.adversary.learned()]
    _, trace = fit(model, batches=4, epochs=1, accumulate_grad_batches=2)
    assert torch.isfinite(trace.turn.loss)
    assert all(bool((a != b).any()) for a, b in zip(before, model.adversary.learned(), strict=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pairs": {"third": 1}}, "among first, second, both, neither"),
        ({"pairs": {"both": -1}}, r"weight of pairs\.both"),
        ({"pairs": {"both": "much"}}, r"weight of pairs\.both"),
        ({"pairs": {"neither": 1}}, "give one to first, second or both"),
        ({"pairs": 3}, "names and weights"),
        ({"pairs": ALL, "side": 0}, r"leave adversary\.side out"),
        ({"pairs": ALL, "constraint": "overlap"}, "compares the masks of one view"),
        ({"pairs": ALL, "constraint": "per_mask"}, "3 of each of two views"),
        ({"symmetric": "no"}, "true or false"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(settings, words):
    with pytest.raises(UserError, match=words):
        played("simsiam", **settings)


def test_terms_that_a_loss_does_not_have_cannot_be_left_out():
    with pytest.raises(UserError, match="choose one of byol, simsiam"):
        played("simclr", symmetric=False)


def test_a_game_without_pairs_masks_what_the_method_says():
    assert played("simsiam").sides == [1]
    assert played("simsiam", pairs={"first": 1}).sides == [0]


@pytest.mark.parametrize("update", [Reversal(), Alternating()])
def test_a_loop_without_a_host_plays_the_pairs(update):
    game = Game(OneConvolution(num_masks=2), Zero(), InverseSine(), draw="all", pairs={"both": 1, "neither": 0.5})
    adversary, seen = Adversary(game, update=update), []

    def loss(views):
        seen.append([(view == 1).all().item() for view in views])
        return torch.stack([view.mean() for view in views]).sum()

    before = [p.clone() for p in adversary.learned()]
    turn = adversary.play([torch.ones(4, 3, 8, 8)] * 2, loss)
    assert seen == [[True, True], [False, False], [False, False]]
    if turn.objective.requires_grad:
        turn.objective.backward()
    adversary.step()
    assert all(bool((a != b).any()) for a, b in zip(before, adversary.learned(), strict=True))
