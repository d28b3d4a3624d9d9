"""The monitor on real runs of real methods."""

from unittest.mock import Mock, create_autospec

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from amask_solo.callbacks.checkpoints import checkpoints
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.callbacks.loggers import csv
from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.layout import LAST
from tests.callbacks.watched import ON, At, interrupt, knn, masked, panels, poison, rows
from tests.players import OneConvolution, build, fit, masker_node

pytestmark = pytest.mark.host


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("player", ["masker", "encoder"])
def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, player, batch):
    def act(model) -> None:
        poison(model.adversary if player == "masker" else getattr(model, load_host().backbone))

    # Checked at the end of the epoch at the latest, before its checkpoint would be written.
    callbacks = [GameMonitor(), *checkpoints(tmp_path), At(batch, act)]
    settings = {**ON, "log_every_n_steps": 50}
    with pytest.raises(UserError, match=r"NaN .* in epoch 1(.|\n)*last\.ckpt"):
        fit(masked(), epochs=3, callbacks=callbacks, **settings)
    kept = torch.load(tmp_path / LAST, weights_only=True)
    assert kept["global_step"] == 2
    assert all(v.isfinite().all() for v in kept["state_dict"].values() if v.is_floating_point())


def test_a_process_stops_with_another_one_whose_numbers_broke():
    monitor, trainer = GameMonitor(), create_autospec(Trainer, instance=True)
    trainer.checkpoint_callbacks, trainer.current_epoch, trainer.global_step, trainer.precision = [], 3, 7, "32-true"
    trainer.strategy.reduce_boolean_decision = lambda decision, **how: decision or how == {"all": False}
    trainer._logger_connector, model = Mock(should_update_logs=True), LightningModule()
    monitor.on_train_batch_start(trainer, model, None, 4)
    with pytest.raises(UserError, match="loss of another process became NaN or infinite in epoch 3, batch 4"):
        monitor.on_train_batch_end(trainer, model, {"loss": torch.ones(())}, None, 4)


def test_an_interrupted_broken_run_does_not_replace_the_checkpoint(tmp_path, ctrl_c):
    class Blind(GameMonitor):
        def _stop(self, *_):
            """Let the broken run go on."""

    callbacks = [Blind(), *checkpoints(tmp_path), At(2, poison), At(3, interrupt)]
    with pytest.raises(SystemExit):
        fit(masked(), callbacks=callbacks, **ON)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("masks", [True, False])
def test_a_loss_that_is_nan_by_design_does_not_stop_the_run(masks):
    model = build("deepclusterv2", masker_node(OneConvolution) if masks else None)
    trainer, _ = fit(model, callbacks=[GameMonitor()], log_every_n_steps=1)
    assert trainer.global_step == 4


@pytest.mark.parametrize("update", ["reversal", "alternating"])
def test_both_players_are_logged_and_the_epoch_has_the_mean(tmp_path, update):
    model = masked(**{"adversary.update": update})
    fit(model, callbacks=[GameMonitor()], logger=csv(tmp_path, "run"), log_every_n_steps=1)
    table = rows(tmp_path)
    assert len(table) == 4
    for name in ("masks/area_2", "masks/overlap", "adversary/loss", "adversary/penalty"):
        assert all(row[name] for row in table), name
    assert all(float(row["adversary/grad_norm"]) > 0 for row in table)
    assert all(float(row["encoder/grad_norm"]) > 0 for row in table)


def test_measuring_changes_nothing(tmp_path):
    plain, _ = fit(masked())
    watched, _ = fit(masked(), callbacks=[GameMonitor(), knn(), panels(tmp_path)], log_every_n_steps=1)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, watched.model.state_dict()[name]), name


def test_a_failure_of_the_masks_is_named_once(recwarn):
    model = masked()
    with torch.no_grad():
        model.adversary.masker.network.bias[1] = -40.0
    fit(model, callbacks=[GameMonitor()], log_every_n_steps=1)
    named = [str(w.message) for w in recwarn if "almost nothing" in str(w.message)]
    assert len(named) == 1
    assert "2 (0.0%) of 2" in named[0]


def test_a_stock_method_can_be_watched(tmp_path):
    fit(
        build("simclr"),
        callbacks=[GameMonitor(), panels(tmp_path)],
        logger=csv(tmp_path, "run"),
        log_every_n_steps=1,
    )
    assert all(float(row["encoder/grad_norm"]) > 0 for row in rows(tmp_path))
    assert not any(name.startswith(("masks/", "adversary/")) for name in rows(tmp_path)[0])
