"""The strength of the adversary, measured in real runs of real methods."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from amask_solo.callbacks import advantage_monitor
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor, is_measured
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.callbacks.loggers import csv
from amask_solo.game import advantage
from amask_solo.masked.clean_view import in_memory_format
from amask_solo.maskers import RandomMasker
from tests.callbacks.watched import masked, rows
from tests.daily import one_in
from tests.players import (
    KINDS,
    QUIET,
    NothingHidden,
    OneConvolution,
    Trace,
    attach,
    batch_of,
    build,
    fit,
    masker_node,
)
from tests.tiny import TwoViews, tiny_loaders

pytestmark = pytest.mark.host

RATIOS = {
    f"adversary/{name}{mask}{error}"
    for name in ("advantage", "attention")
    for mask in ("", "_1", "_2")
    for error in ("", "_error")
}
LIFTS = {"adversary/lift", "adversary/lift_blocks", "adversary/lift_others"}


def state(model) -> dict[str, torch.Tensor]:
    gradients = {f"{name}.grad": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**model.state_dict(), **gradients, "random": torch.get_rng_state()}


@pytest.mark.parametrize("name", KINDS)
def test_measuring_leaves_no_trace_in_any_method(name):
    plain, _ = fit(build(name, masker_node(OneConvolution)), callbacks=[GameMonitor()])
    expected = {key: value.clone() for key, value in state(plain.model).items()}
    watched, _ = fit(build(name, masker_node(OneConvolution)), callbacks=[GameMonitor(), AdvantageMonitor()])
    got = state(watched.model)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(got[key], value), key
    metrics = watched.callback_metrics
    assert metrics.keys() - plain.callback_metrics.keys() == RATIOS | LIFTS
    assert all(metrics[key].isfinite() for key in LIFTS)


@pytest.mark.parametrize(
    "setting",
    one_in(
        2,
        [
            {"adversary.update": "alternating"},
            {"adversary.draw": "all", "adversary.apply": "cumulative"},
            {"adversary.draw": "all", "adversary.memory_efficient": True},
            {"adversary.loud": "clean", "adversary.side": 0},
            {"adversary.fill": "noise", "adversary.share": 0.5},
        ],
    ),
    ids=str,
)
def test_measuring_leaves_no_trace_in_any_game(setting):
    plain, _ = fit(masked(**setting), callbacks=[GameMonitor()])
    expected = {key: value.clone() for key, value in state(plain.model).items()}
    watched, _ = fit(masked(**setting), callbacks=[GameMonitor(), AdvantageMonitor()])
    for key, value in state(watched.model).items():
        assert torch.equal(expected[key], value), key
    assert watched.callback_metrics["adversary/lift"].isfinite()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_masks_that_hide_nothing_lift_nothing_whatever_the_objective_leaves_out(name, symmetric):
    node = masker_node(NothingHidden)
    model = build(name, node, **{"adversary.symmetric": symmetric})
    attach(model)
    batch = in_memory_format(model, batch_of())
    lifts = advantage_monitor._lifts(model, batch, 0)
    torch.testing.assert_close(lifts, torch.zeros_like(lifts), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("masker", ["sequential", "simultaneous", "random_block", "random_noise", "centered"])
def test_it_is_measured_for_learned_and_unlearned_masks(masker):
    trainer, _ = fit(build("simclr", {"name": masker}), callbacks=[AdvantageMonitor()])
    assert trainer.callback_metrics["adversary/lift_blocks"].isfinite()
    if masker == "centered":
        found = trainer.callback_metrics
        torch.testing.assert_close(found["adversary/lift"], found["adversary/lift_others"])


def test_where_nothing_is_hidden_nothing_is_lifted_and_there_is_no_ratio():
    trainer, _ = fit(build("simclr", masker_node(NothingHidden)), callbacks=[AdvantageMonitor()])
    assert trainer.callback_metrics["adversary/lift"].abs() < 1e-5
    assert trainer.callback_metrics["adversary/advantage"].isnan()


class Alike(TwoViews):
    """Two views of which the second shows what the first does, so that hiding it hurts."""

    def __getitem__(self, index):
        number, (view, _), label = super().__getitem__(index)
        return [number, [view, view.clone()], label]


def test_random_blocks_are_as_hard_as_random_blocks():
    # Nothing is learned, so that all epochs ask the same.
    still = {"optimizer.lr": 0.0, "scheduler.warmup_start_lr": 0.0}
    model = build("simclr", masker_node(RandomMasker, area=0.4), **still)
    trainer = Trainer(**QUIET, max_epochs=5)
    trainer.fit(model, DataLoader(Alike(128), batch_size=128))
    found = trainer.callback_metrics
    assert found["adversary/lift_blocks"] > 0.05
    assert found["adversary/advantage"] == pytest.approx(1, abs=0.1)
    assert found["adversary/attention"] == pytest.approx(1, abs=0.1)


def test_each_epoch_has_its_numbers_and_the_first_no_ratio_yet(tmp_path):
    fit(masked(), epochs=3, batches=1, callbacks=[AdvantageMonitor()], logger=csv(tmp_path, "run"), log_every_n_steps=1)
    found = [row for row in rows(tmp_path) if row["adversary/lift"]]
    assert len(found) == 3
    assert math.isnan(float(found[0]["adversary/advantage"]))


@pytest.mark.parametrize(("batches", "measured"), [(1, 1), (15, 1), (31, 2), (150, 3), (799, 15), (10_000, 16)])
def test_few_batches_of_an_epoch_are_measured_the_last_among_them(batches, measured):
    found = [n for n in range(batches) if is_measured(n, batches, stride=50)]
    assert len(found) == measured
    assert found[-1] == batches - 1


@pytest.mark.parametrize(("every", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4])])
def test_every_so_many_epochs_are_measured_and_the_last(monkeypatch, every, epochs):
    seen = []
    model = masked()
    monkeypatch.setattr(
        advantage_monitor, "measure_lifts", lambda *a, **k: seen.append(model.current_epoch) or torch.zeros(3, 2)
    )
    fit(model, epochs=5, batches=1, callbacks=[GameMonitor(), AdvantageMonitor(every=every)])
    assert seen == epochs


def test_before_the_game_starts_nothing_is_measured():
    trainer, _ = fit(masked(**{"adversary.start_epoch": 2}), callbacks=[AdvantageMonitor()])
    assert not LIFTS & trainer.callback_metrics.keys()


def test_a_stock_method_has_nothing_to_measure():
    trainer, _ = fit(build("simclr"), callbacks=[AdvantageMonitor()])
    assert not LIFTS & trainer.callback_metrics.keys()


def test_half_precision_does_not_round_the_lifts(monkeypatch):
    seen = []
    monkeypatch.setattr(advantage_monitor, "measure_lifts", lambda *a, **k: seen.append(measure(*a, **k)) or seen[-1])
    measure = advantage.measure_lifts
    fit(masked(), callbacks=[AdvantageMonitor()], precision="bf16-mixed", epochs=1)
    assert not torch.equal(seen[0], seen[0].bfloat16().float())


def test_networks_in_half_precision_are_measured_too():
    trainer, _ = fit(masked(), callbacks=[AdvantageMonitor()], precision="bf16-true", epochs=1)
    assert trainer.callback_metrics["adversary/lift"].isfinite()


def test_weak_masks_are_named_once_and_not_before_five_epochs(monkeypatch, recwarn):
    weak = torch.tensor([[0.1, 0.3], [0.2, 0.2], [0.2, 0.2]])
    monkeypatch.setattr(advantage_monitor, "measure_lifts", lambda *args, **kwargs: weak)
    fit(masked(), epochs=7, callbacks=[AdvantageMonitor()])
    named = [str(w.message) for w in recwarn if "Likely cause" in str(w.message)]
    assert len(named) == 2
    assert named[0].startswith("Epoch 4: Masks that are weaker than chance: number 1 (0.50) of 2")
    assert "do not look at the image: number 1 (0.50) of 2" in named[1]


def test_masks_that_nobody_learns_are_not_called_weak(monkeypatch, recwarn):
    weak = torch.tensor([[0.1], [0.2], [0.2]])
    monkeypatch.setattr(advantage_monitor, "measure_lifts", lambda *args, **kwargs: weak)
    fit(build("simclr", masker_node(RandomMasker)), epochs=6, callbacks=[AdvantageMonitor()])
    assert not [w for w in recwarn if "Likely cause" in str(w.message)]


def test_a_resumed_run_reports_what_the_uninterrupted_one_does(tmp_path):
    class Stop(Trace):
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    whole, _ = fit(masked(), epochs=4, callbacks=[GameMonitor(), AdvantageMonitor(), Stop()])
    model = masked()
    torch.manual_seed(1)
    resumed = Trainer(**QUIET, max_epochs=4, callbacks=[GameMonitor(), AdvantageMonitor(), Stop()])
    resumed.fit(model, *tiny_loaders(2), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    for key in RATIOS | LIFTS:
        torch.testing.assert_close(
            resumed.callback_metrics[key], whole.callback_metrics[key], rtol=1e-3, atol=1e-5, equal_nan=True
        )


def test_the_hosts_own_scripts_get_it_without_asking():
    trainer = Trainer(**QUIET, max_epochs=1)
    trainer.fit(masked(), *tiny_loaders())
    assert trainer.callback_metrics.keys() >= RATIOS | LIFTS


def test_a_period_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="Expected every"):
        AdvantageMonitor(every=0)
