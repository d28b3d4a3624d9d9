"""The game in a training loop without a host: one call a step, and the two players' gradients are right."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

import amask_solo
from amask_solo import Adversary, Alternating, Game, Reversal, SequentialMasker, WeightedSum, Zero, occlude
from amask_solo.constraints import AreaTarget
from amask_solo.projections import Sigmoid

UPDATES = [Reversal, Alternating]


def networks(update, **settings):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 5)).double()
    masker = SequentialMasker(num_masks=1, projection=Sigmoid(), resolution=0.5)
    price = WeightedSum({"area": AreaTarget(0.25)}, {"area": 3.0})
    adversary = Adversary(Game(masker, Zero(), price), update=update(), optimizer=plain_sgd, **settings)
    return encoder, adversary.double()


def plain_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def two_views():
    return list(torch.randn(2, 4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


def distance(encoder):
    return lambda views: F.mse_loss(encoder(views[0]), encoder(views[1]))


def copied(module):
    return [p.detach().clone() for p in module.parameters()]


def by_hand(encoder, adversary, views, alternating):
    """Write the step of both players down, without the package's game."""
    masker, price = adversary.masker, adversary.game.constraint
    loss = distance(encoder)
    masks = masker(views[1])
    value = loss([views[0], occlude(views[1], masks, torch.zeros_like(views[1]))])
    steps = torch.autograd.grad(value, list(encoder.parameters()), retain_graph=True)
    gains = torch.autograd.grad(price(masks) - value, list(masker.parameters()))
    with torch.no_grad():
        for parameter, step in zip(encoder.parameters(), steps, strict=True):
            parameter.sub_(0.1 * step)
    if alternating:
        masks = masker(views[1])
        value = loss([views[0], occlude(views[1], masks, torch.zeros_like(views[1]))])
        gains = torch.autograd.grad(price(masks) - value, list(masker.parameters()))
    with torch.no_grad():
        for parameter, gain in zip(masker.parameters(), gains, strict=True):
            parameter.sub_(0.1 * gain)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.usefixtures("double")
def test_a_step_is_the_one_that_is_written_by_hand(update):
    encoder, adversary = networks(update)
    optimizer = plain_sgd(encoder.parameters())
    turn = adversary.play(two_views(), distance(encoder))
    turn.objective.backward()
    optimizer.step()
    adversary.step()
    twin, opponent = networks(update)
    by_hand(twin, opponent, two_views(), alternating=update is Alternating)
    for found, wanted in ((encoder, twin), (adversary, opponent)):
        for a, b in zip(copied(found), copied(wanted), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.usefixtures("double")
def test_every_and_steps_hold_as_they_do_in_a_run(update):
    encoder, adversary = networks(update, every=2, steps=3)
    moved = []
    for _ in range(3):
        before = copied(adversary.masker)
        calls = []
        loss = distance(encoder)
        turn = adversary.play(
            two_views(), lambda views, loss=loss, calls=calls: calls.append(len(views[0])) or loss(views)
        )
        turn.objective.backward()
        adversary.step()
        after = copied(adversary.masker)
        moved.append((len(calls), any(not torch.equal(*pair) for pair in zip(before, after, strict=True))))
    with_moves = 3 if update is Reversal else 4
    assert [calls for calls, _ in moved] == [with_moves, 1, with_moves]
    assert [has_moved for _, has_moved in moved] == [True, False, True]


def moves_of(encoder, adversary, *, steps, plays):
    """Return in which steps of the optimizer the masker moves, if its gradients come from several batches each."""
    moved = []
    for _ in range(steps):
        before = copied(adversary.masker)
        for _ in range(plays):
            adversary.play(two_views(), distance(encoder)).objective.backward()
        adversary.step()
        moved.append(any(not torch.equal(*pair) for pair in zip(before, copied(adversary.masker), strict=True)))
    return moved


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("plays", [1, 2, 3])
@pytest.mark.usefixtures("double")
def test_every_counts_the_steps_of_the_optimizer_however_many_batches_they_take(update, plays):
    encoder, adversary = networks(update, every=2)
    assert moves_of(encoder, adversary, steps=4, plays=plays) == [True, False, True, False]


@pytest.mark.usefixtures("double")
def test_a_resumed_loop_goes_on_with_the_count_of_its_steps():
    encoder, adversary = networks(Reversal, every=2)
    moves_of(encoder, adversary, steps=1, plays=1)
    states = adversary.state_dict(), adversary.optimizer_state()
    encoder, adversary = networks(Reversal, every=2)
    adversary.load_state_dict(states[0])
    adversary.resume(states[1])
    assert moves_of(encoder, adversary, steps=3, plays=1) == [False, True, False]


@pytest.mark.usefixtures("double")
def test_a_state_without_the_count_of_steps_is_taken_up():
    encoder, adversary = networks(Reversal, every=2)
    moves_of(encoder, adversary, steps=1, plays=1)
    old = adversary.optimizer_state()
    del old["steps"]
    encoder, adversary = networks(Reversal, every=2)
    adversary.resume(old)
    assert moves_of(encoder, adversary, steps=2, plays=1) == [True, False]


@pytest.mark.parametrize("update", UPDATES)
def test_nobody_can_descend_on_the_loss_without_its_price(update):
    encoder, adversary = networks(update)
    turn = adversary.play(two_views(), distance(encoder))
    assert not turn.loss.requires_grad
    assert not turn.penalty.requires_grad
    assert turn.objective.requires_grad


def test_a_step_without_the_backward_pass_of_the_objective_is_refused():
    encoder, adversary = networks(Reversal)
    turn = adversary.play(two_views(), distance(encoder))
    turn.objective.backward()
    adversary.zero_grad()  # as a whole module's `zero_grad` does that contains the adversary
    with pytest.raises(ValueError, match=r"Expected turn\.objective\.backward\(\)"):
        adversary.step()


@pytest.mark.parametrize(("update", "steps"), [(Alternating, 1), (Reversal, 2)])
def test_a_gradient_scaler_is_refused_where_the_masker_has_turns_of_its_own(update, steps):
    encoder, adversary = networks(update, steps=steps)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(adversary.play(two_views(), distance(encoder)).objective).backward()
    with pytest.raises(ValueError, match=r"Expected update=Reversal.* with a gradient scaler"):
        adversary.step(apply=scaler.step)


def test_with_a_gradient_scaler_the_masker_moves_as_without():
    moved = []
    for scaler in (None, torch.amp.GradScaler("cpu")):
        encoder, adversary = networks(Reversal)
        objective = adversary.play(two_views(), distance(encoder)).objective
        (scaler.scale(objective) if scaler else objective).backward()
        adversary.step(apply=scaler.step if scaler else lambda optimizer: optimizer.step())
        moved.append(copied(adversary.masker))
    assert all(torch.allclose(*pair) for pair in zip(*moved, strict=True))


@pytest.mark.parametrize(("update", "steps"), [(Alternating, 2), (Reversal, 3)])
def test_under_autocast_each_turn_sees_the_move_before_it(update, steps):
    """Autocast keeps copies of the weights, which would be those before the first move."""
    found = []
    for cached in (False, True):
        encoder, adversary = networks(update, steps=steps)
        encoder.float()
        adversary.float()
        views = [view.float() for view in two_views()]
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
            adversary.play(views, distance(encoder)).objective.backward()
            adversary.step()
        found.append(copied(adversary.masker))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def _play_on_own_images(rank, meeting, update, steps, said):
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    encoder, adversary = networks(update, steps=steps)
    with torch.no_grad():
        for parameter in adversary.parameters():
            parameter.add_(0.01 * rank)
    for step in range(3):
        generator = torch.Generator().manual_seed(2 * step + rank)
        views = list(torch.randn(2, 4, 3, 16, 16, dtype=torch.float64, generator=generator))
        adversary.play(views, distance(encoder)).objective.backward()
        adversary.step()
    said.put([p.tolist() for p in copied(adversary.masker)])
    distributed.destroy_process_group()


@pytest.mark.parametrize(("update", "steps"), [(Reversal, 1), (Reversal, 2), (Alternating, 1)])
def test_the_maskers_of_two_processes_stay_equal(tmp_path, update, steps):
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()
    asked = (str(tmp_path / "meeting"), update, steps, said)
    processes = [fork.Process(target=_play_on_own_images, args=(rank, *asked)) for rank in (0, 1)]
    for process in processes:
        process.start()
    first, second = said.get(), said.get()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert first == second
    assert first != [p.tolist() for p in copied(networks(update)[1].masker)]


def test_what_takes_a_host_is_refused():
    adversary = Adversary(Game(SequentialMasker(), Zero(), WeightedSum()), start_epoch=1)
    with pytest.raises(ValueError, match="start_epoch"):
        adversary.play(two_views(), lambda views: views[0].sum())


OF_EXTRAS = ["solo", "lightning", "hydra", "omegaconf", "timm", "torchvision", "torchmetrics", "sklearn", "scipy"]
OF_EXTRAS += ["markdown_it", "rich", "safetensors"]
"""What `pip install .` without extras does not bring."""


def test_the_loop_needs_neither_host_nor_lightning_nor_hydra():
    names = set(amask_solo.__all__) - {"load_host", "register", "wrap"}
    code = (
        f"import sys; from amask_solo import {', '.join(sorted(names))};"
        f"print([name for name in {OF_EXTRAS} if name in sys.modules])"
    )
    root = Path(amask_solo.__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
