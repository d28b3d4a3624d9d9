"""Callbacks on real runs of real methods."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from PIL import Image

from amask_solo.callbacks import advantage_monitor
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.callbacks.checkpoints import checkpoints
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.callbacks.loggers import MetricsFile, csv, wandb
from amask_solo.callbacks.panels import HardViewPanels
from amask_solo.callbacks.progress import Beginning, progress_bar
from amask_solo.callbacks.signals import EndAtSignal
from amask_solo.callbacks.summary import Summary, typical
from amask_solo.layout import LAST
from amask_solo.maskers import NoMasks
from tests.callbacks.watched import ON, At, interrupt, knn, masked, panels, rows, stumble
from tests.daily import one_in
from tests.players import build, fit, masker_node
from tests.tiny import tiny_loaders

pytestmark = pytest.mark.host

# ---------------------------------------------------------------------- checkpoints


def no_time_left(model):
    end = next(callback for callback in model.trainer.callbacks if isinstance(callback, EndAtSignal))
    end._clock._offset = 60


@pytest.mark.parametrize(("batch", "what"), [(1, interrupt), (5, interrupt), (1, no_time_left)])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path, ctrl_c, batch, what):
    def run(**arguments):
        return fit(masked(), batches=3, epochs=3, logger=csv(tmp_path, "run"), **ON, **arguments)

    with pytest.raises(SIGTERMException):
        run(callbacks=[*checkpoints(tmp_path), At(batch, what), EndAtSignal(tmp_path / LAST, "00:00:01:00")])
    saved = torch.load(tmp_path / LAST, weights_only=True)
    assert saved["global_step"] == batch + 1, "the step in which Ctrl-C comes is finished"
    model = masked()
    seen = []
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", log_every_n_steps=1, logger=csv(tmp_path, "run"),
        callbacks=[*checkpoints(tmp_path), At(batch + 1, lambda model: seen.append(model.global_step))],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, *tiny_loaders(3), ckpt_path=tmp_path / LAST)
    assert seen == [batch + 1]
    assert trainer.global_step == 9
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 9
    steps = [int(row["step"]) for row in rows(tmp_path)]
    assert steps == sorted(set(steps))
    assert len(steps) == 9


class InValidation(Callback):
    def on_validation_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 3:
            interrupt()


class BetweenEpochs(Callback):
    def on_train_epoch_start(self, trainer, *_) -> None:
        if trainer.global_step == 3:
            interrupt()


@pytest.mark.parametrize("moment", [InValidation, BetweenEpochs])
def test_an_interruption_around_the_end_of_an_epoch_repeats_no_step_and_leaves_none_out(tmp_path, ctrl_c, moment):
    with pytest.raises(SIGTERMException):
        fit(masked(), batches=3, callbacks=[*checkpoints(tmp_path), moment(), EndAtSignal(tmp_path / LAST)], **ON)
    callbacks = [*checkpoints(tmp_path)]
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(masked(), *tiny_loaders(3), ckpt_path=tmp_path / LAST)
    assert trainer.global_step == 6
    assert trainer.current_epoch == 2


def test_an_error_leaves_the_last_checkpoint_alone(tmp_path):
    with pytest.raises(RuntimeError, match="a bug"):
        fit(masked(), callbacks=[*checkpoints(tmp_path), At(3, stumble)], **ON)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 2


def test_checkpoints_may_be_rarer_but_the_end_is_always_saved(tmp_path):
    rare = {"save_every": 2}
    with pytest.raises(RuntimeError, match="a bug"):
        fit(masked(), batches=1, epochs=3, callbacks=[*checkpoints(tmp_path / "a", **rare), At(1, stumble)], **ON)
    assert not (tmp_path / "a" / LAST).exists()
    with pytest.raises(RuntimeError, match="a bug"):
        fit(masked(), batches=1, epochs=3, callbacks=[*checkpoints(tmp_path / "b", **rare), At(2, stumble)], **ON)
    assert torch.load(tmp_path / "b" / LAST, weights_only=True)["global_step"] == 2
    fit(masked(), batches=1, epochs=3, callbacks=checkpoints(tmp_path / "c", **rare), **ON)
    assert torch.load(tmp_path / "c" / LAST, weights_only=True)["global_step"] == 3


def test_an_interruption_before_the_first_step_writes_nothing(tmp_path, ctrl_c):
    with pytest.raises(SystemExit):
        fit(masked(), callbacks=[*checkpoints(tmp_path), At(0, interrupt)], **ON)
    assert not (tmp_path / LAST).exists()


def test_the_best_checkpoint_follows_the_online_accuracy(tmp_path):
    callbacks = [*checkpoints(tmp_path, monitor="val_knn_acc1"), knn()]
    trainer, _ = fit(masked(), callbacks=callbacks, **ON)
    best = next(c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor)
    assert best.best_model_score == 100  # Each image is its own neighbor.
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.ckpt", LAST]


@pytest.mark.parametrize(
    ("every", "scores", "best"), [(2, [1, 9, 5, 2, 7], 2), (2, [9, 1, 9, 2, 3], 5), (9, [1] * 5, 5)]
)
def test_the_best_checkpoint_is_the_best_of_the_measured_epochs_the_last_among_them(tmp_path, every, scores, best):
    measured = knn()
    measured.every_n_epochs, measured._accuracy = every, lambda trainer, _: float(scores[trainer.current_epoch])
    callbacks = [measured, *checkpoints(tmp_path, monitor="val_knn_acc1", every_n_epochs=every)]
    fit(build("simclr"), batches=1, epochs=5, callbacks=callbacks, **ON)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] + 1 == best
    last = torch.load(tmp_path / LAST, weights_only=True)
    assert any(key.startswith("ModelCheckpoint{") for key in last["callbacks"]), "as in those of earlier versions"


# ---------------------------------------------------------------------- the last epoch


class Ended(Callback):
    """Stop the training in its third epoch."""

    def on_train_batch_end(self, trainer, *_) -> None:
        trainer.should_stop = trainer.global_step == 5


@pytest.mark.parametrize(
    "ending",
    one_in(
        2,
        [
            {"max_steps": 5},
            {"epochs": 3},
            {"max_steps": 3, "accumulate_grad_batches": 2, "batches": 1},
            {"max_steps": 6},
        ],
    ),
)
def test_the_last_epoch_is_measured_and_drawn_whatever_ends_the_training(tmp_path, monkeypatch, ending):
    lifts = []
    monkeypatch.setattr(advantage_monitor, "measure_lifts", lambda *a, **k: lifts.append(1) or torch.zeros(3, 2))
    scores, strength = knn(), AdvantageMonitor(every=9)
    scores.every_n_epochs = 9
    drawn = [panels(tmp_path, every=9), hard_views(tmp_path, every=9)]
    last = checkpoints(tmp_path, save_every=9)
    trainer, _ = fit(
        masked(**{"adversary.hard_views": HARD}),
        callbacks=[GameMonitor(), strength, scores, *drawn, *last],
        **{"epochs": 8, "limit_val_batches": 0, **ON, **ending},
    )
    assert trainer.current_epoch == 3
    assert len(lifts) == 1
    assert trainer.callback_metrics["val_knn_acc1"] == 100
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == ["epoch_0000.png", "epoch_0003.png", "hard_views_0003.png"]
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == trainer.global_step


def test_the_last_epoch_is_measured_if_a_callback_ends_the_training():
    scores = knn()
    scores.every_n_epochs = 9
    trainer, _ = fit(build("simclr"), epochs=8, callbacks=[Ended(), scores], limit_val_batches=0)
    assert trainer.current_epoch == 3
    assert trainer.callback_metrics["val_knn_acc1"] == 100


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("every", "epochs"), one_in(2, [(2, [0, 2, 3]), (1, [0, 1, 2, 3])]))
def test_there_is_a_picture_before_training_and_after_epochs(tmp_path, every, epochs):
    fit(masked(), batches=1, epochs=3, callbacks=[panels(tmp_path, every=every)])
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == [f"epoch_{epoch:04d}.png" for epoch in epochs]
    assert Image.open(tmp_path / "masks" / names[0]).size[0] > 1000


def hard_views(folder, **arguments):
    return HardViewPanels(mean=(0.5,) * 3, std=(0.2,) * 3, folder=folder / "masks", **arguments)


HARD = {"_target_": "amask_solo.hard_views.AdversarialPixels", "eps": 8.0}


def test_hard_views_get_a_picture_after_epochs_and_drawing_them_leaves_no_trace(tmp_path):
    settings = {"adversary.hard_views": HARD}
    _, drawn = fit(masked(**settings), batches=2, epochs=3, callbacks=[hard_views(tmp_path, every=2)])
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == ["hard_views_0002.png", "hard_views_0003.png"]
    _, plain = fit(masked(**settings), batches=2, epochs=3)
    for key, value in plain.state_dict().items():
        assert torch.equal(drawn.state_dict()[key], value), key


@pytest.mark.parametrize("draw", [panels, hard_views])
def test_what_is_not_there_is_not_drawn(tmp_path, draw):
    fit(build("simclr", masker_node(NoMasks)), batches=1, callbacks=[draw(tmp_path)])
    assert not (tmp_path / "masks").exists()


# ---------------------------------------------------------------------- the run folder


def test_the_summary_is_plain_json_and_says_how_it_went(tmp_path):
    facts = {"method": "amask_simclr", "data": "tiny", "epochs": 2, "seed": 0}
    fit(
        masked(),
        batches=6,
        callbacks=[GameMonitor(), AdvantageMonitor(), knn(), Summary(tmp_path, facts)],
        log_every_n_steps=1,
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["method"] == "amask_simclr"
    assert (summary["epochs_done"], summary["steps"]) == (2, 12)
    assert summary["knn_acc1"] == 100
    assert 0 <= summary["linear_acc1"] <= 100
    assert 0 < summary["masks"]["area_1"] < 1
    assert {"adversary/advantage", "adversary/attention_2"} <= summary["metrics"].keys()
    assert 0 < summary["seconds_per_step"] < 10
    assert summary["peak_memory_mib"] > 0
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("epochs", [2, 3])
def test_the_summary_has_no_accuracy_of_an_earlier_epoch(tmp_path, epochs):
    measured = [knn(), Summary(tmp_path, {})]
    fit(build("simclr"), batches=1, epochs=epochs, callbacks=measured, check_val_every_n_epoch=2)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["knn_acc1"] == 100
    assert (summary["linear_acc1"] is not None) == (epochs == 2)
    assert ("val_acc1" in summary["metrics"]) == ("val_loss" in summary["metrics"]) == (epochs == 2)


def test_the_summary_of_a_run_that_stopped_has_no_rarer_numbers_of_an_earlier_epoch(tmp_path):
    measured = [AdvantageMonitor(every=2), knn(every_n_epochs=2), Summary(tmp_path, {})]
    for stop in (2, 3):
        with pytest.raises(RuntimeError, match="a bug"):
            fit(masked(), batches=1, epochs=4, callbacks=[*measured, At(stop, stumble)])
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert (summary["status"], summary["epochs_done"]) == ("failed", stop)
        assert (summary["knn_acc1"] is not None) == (stop == 2)
        assert ("adversary/lift" in summary["metrics"]) == ("adversary/advantage" in summary["metrics"]) == (stop == 2)


def test_with_accumulated_gradients_a_step_is_one_of_the_optimizer(tmp_path, capsys):
    facts = {"train_images": 40, "val_images": 8, "classes": 2, "image_size": 32, "backbone": "resnet18"}
    timed = Summary(tmp_path, {})
    fit(build("simclr"), batches=5, epochs=3, callbacks=[timed, Beginning(facts)], accumulate_grad_batches=4)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert "; 2 steps an epoch" in capsys.readouterr().out
    assert (summary["steps"], summary["batches_per_step"]) == (6, 2.5)
    assert len(timed._times) == 8  # the first ones of all do not count, and of each epoch
    assert summary["seconds_per_step"] == pytest.approx(2.5 * typical(list(timed._times)), rel=1e-5)
    assert summary["mean_seconds_per_step"] == pytest.approx(2.5 * fmean(timed._times), rel=1e-5)


def test_the_summary_of_an_interrupted_run_says_so(tmp_path, ctrl_c):
    with pytest.raises(SystemExit):
        fit(masked(), callbacks=[Summary(tmp_path, {}), At(3, interrupt)])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("interrupted", 3)


def test_the_seconds_of_an_interrupted_run_are_counted_when_it_goes_on(tmp_path):
    first, resumed = Summary(tmp_path, {}), Summary(tmp_path, {})
    fit(masked(), callbacks=[first], max_epochs=1)
    spent = json.loads((tmp_path / "summary.json").read_text())["seconds"]
    first.load_state_dict({"seconds": 1000.0})
    resumed.load_state_dict(first.state_dict())
    fit(masked(), callbacks=[resumed], max_epochs=1)
    assert json.loads((tmp_path / "summary.json").read_text())["seconds"] >= 1000 + min(spent, 0.1)


def test_an_interrupted_run_is_saved_with_the_seconds_until_then(tmp_path, ctrl_c):
    resumed = Summary(tmp_path, {})
    resumed.load_state_dict({"seconds": 1000.0})
    callbacks = [resumed, *checkpoints(tmp_path), At(2, interrupt), EndAtSignal(tmp_path / LAST)]
    with pytest.raises(SIGTERMException):
        fit(masked(), callbacks=callbacks, **ON)
    state = torch.load(tmp_path / LAST, weights_only=True)["callbacks"]["Summary"]
    assert round(state["seconds"], 1) == json.loads((tmp_path / "summary.json").read_text())["seconds"] > 1000


def test_metrics_of_one_step_share_a_row_and_new_columns_keep_old_rows(tmp_path):
    log = MetricsFile(tmp_path)
    log.log_metrics({"loss": 1.0}, 0)
    log.log_metrics({"loss": 0.5}, 1)
    log.log_metrics({"accuracy": 10.0}, 1)
    log.log_metrics({"loss": 0.25}, 2)
    assert [row["loss"] for row in rows(tmp_path)] == ["1", "0.5", "0.25"]
    assert [row["accuracy"] for row in rows(tmp_path)] == ["", "10", ""]


def test_steps_that_are_run_again_replace_their_rows(tmp_path):
    first = MetricsFile(tmp_path)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step)
    resumed = MetricsFile(tmp_path)
    for step in range(3, 6):
        resumed.log_metrics({"loss": 10.0 + step, "extra": 1.0}, step)
    assert [row["loss"] for row in rows(tmp_path)] == ["0", "1", "2", "13", "14", "15"]


def test_no_row_of_the_lost_part_stays_if_the_resumed_part_logs_more_rarely(tmp_path):
    first = MetricsFile(tmp_path)
    for step in range(9, 59, 10):
        first.log_metrics({"loss": 1.0}, step)
    resumed = MetricsFile(tmp_path)
    resumed.begin(20)
    for step in (49, 74):
        resumed.log_metrics({"loss": 0.0}, step)
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [("9", "1"), ("19", "1"), ("49", "0"), ("74", "0")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:2], bytes(20) + b"\r\n", *lines[2:]],
        lambda lines: [*lines[:2], lines[2][:1] + b"\xff\0" + lines[2][3:]],
        lambda lines: [*lines[:2], b"1,2,3,4,5,6\r\n"],
        lambda lines: [*lines[:2], b"no number,2\r\n"],
    ],
)
def test_damaged_rows_and_those_after_them_are_dropped_with_a_warning(tmp_path, damage):
    first = MetricsFile(tmp_path)
    for step in range(3):
        first.log_metrics({"loss": 1.0 + step}, step=step)
    lines = (tmp_path / "metrics.csv").read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    (tmp_path / "metrics.csv").write_bytes(b"".join(damage(lines)))
    with pytest.warns(UserWarning, match="damaged from line 3 on"):
        MetricsFile(tmp_path).log_metrics({"loss": 9.0}, step=5)
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [("0", "1"), ("5", "9")]


def test_wandb_works_offline_and_gets_the_pictures(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    both = wandb(tmp_path, "run", mode="offline")
    callbacks = [GameMonitor(), AdvantageMonitor(), panels(tmp_path)]
    fit(masked(), batches=1, logger=both, callbacks=callbacks, log_every_n_steps=1)
    (mirror,) = [logger for logger in both if isinstance(logger, WandbLogger)]
    summary = dict(mirror.experiment.summary)
    mirror.experiment.finish()
    assert summary["masks/area"] == pytest.approx(float(rows(tmp_path)[-1]["masks/area"]), rel=1e-5)
    assert {"adversary/advantage", "adversary/attention", "adversary/lift"} <= summary.keys()
    run = Path(next((tmp_path / "wandb").glob("offline-run-*")))
    assert len(list(run.glob("files/media/images/masks/*.png"))) == 3
    again = wandb(tmp_path, "run", mode="offline")[1]
    again.experiment.finish()  # it would take up the next run of this process
    assert again.version == mirror.version


def test_an_unknown_wandb_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'offline'"):
        wandb(tmp_path, "run", mode="dry")


def test_without_a_terminal_progress_is_a_line_an_epoch(capsys):
    fit(masked(), callbacks=[GameMonitor(), knn(), progress_bar()], enable_progress_bar=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("knn 100" in line and "area" in line and re.search(r"  loss -?\d", line) for line in lines)


def test_what_a_run_does_not_have_is_not_shown(capsys, tmp_path):
    bar, facts = progress_bar(first_epoch=1), {"classes": 0}
    fit(build("simclr"), labels=False, callbacks=[Summary(tmp_path, facts), bar], enable_progress_bar=True)
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch"))
    assert "loss" not in first
    assert "  loss " in second
    assert "linear" not in second
    assert "class_loss" not in second
    assert json.loads((tmp_path / "summary.json").read_text())["linear_acc1"] is None


def test_an_epoch_without_validation_shows_no_accuracy_of_an_earlier_one(capsys):
    fit(build("simclr"), epochs=3, callbacks=[progress_bar()], enable_progress_bar=True, check_val_every_n_epoch=2)
    assert ["linear" in line for line in capsys.readouterr().out.splitlines()] == [False, True, False]


def test_a_stock_run_shows_its_loss_and_a_score_only_in_the_epoch_that_measured_it(capsys):
    model = build("simclr")
    scores, facts = knn(), {"train_images": 16, "val_images": 8, "classes": 2, "image_size": 32, "backbone": "resnet18"}
    scores.every_n_epochs = 2
    fit(model, callbacks=[GameMonitor(), scores, Beginning(facts), progress_bar()], enable_progress_bar=True)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("16 images (8 more to validate), 2 classes, 32 px; resnet18, ")
    assert re.search(r"million parameters .*; cpu .*; \d+ steps an epoch$", first)
    assert ["knn" in line for line in lines] == [False, True]
    assert all(re.search(r"  loss -?\d", line) for line in lines)
