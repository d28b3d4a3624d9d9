"""Every method of the installed host trains, validates, saves and resumes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from amask_solo.hosts.installed import load_host
from tests.daily import of_each_kind
from tests.tiny import tiny_loaders, tiny_trainer

pytestmark = pytest.mark.host

OPTIONS = {"knn_eval": {"enabled": True, "k": 3}, "momentum.classifier": True}


@dataclass
class Trace(Callback):
    """Records a run, and seeds each batch, so that a resumed run draws what the first one drew."""

    checkpoint: Path | None = None
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    lrs: list[list[float]] = field(default_factory=list)
    taus: list[float] = field(default_factory=list)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        torch.manual_seed(trainer.current_epoch)

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        torch.manual_seed(trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.checkpoint is not None and trainer.current_epoch == 0:
            trainer.save_checkpoint(self.checkpoint)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.steps.append(trainer.global_step)
        self.losses.append(float(outputs["loss"]))
        self.lrs.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        if hasattr(module, "momentum_updater"):
            self.taus.append(module.momentum_updater.cur_tau)


@dataclass
class Run:
    method: str
    model: LightningModule
    before: dict[str, torch.Tensor]
    trace: Trace
    metrics: dict[str, torch.Tensor]
    checkpoint: Path

    @property
    def momentum(self) -> bool:
        return hasattr(self.model, "momentum_updater")


@pytest.fixture(scope="module", params=of_each_kind(sorted(load_host().methods())))
def run(request, build, tmp_path_factory) -> Iterator[Run]:
    """Train one method for two epochs of two batches."""
    checkpoint = tmp_path_factory.mktemp(request.param) / "first_epoch.ckpt"
    model, trace = build(request.param, **OPTIONS), Trace(checkpoint)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = tiny_trainer(callbacks=[trace])
    trainer.fit(model, *tiny_loaders())
    yield Run(request.param, model, before, trace, dict(trainer.callback_metrics), checkpoint)
    checkpoint.unlink()


def test_it_trains_and_validates(run, host):
    assert run.trace.steps == [1, 2, 3, 4]
    assert math.isfinite(run.trace.losses[-1])
    assert {"val_loss", "val_acc1", "val_acc5", "val_knn_acc1"} <= set(run.metrics)
    assert all(torch.isfinite(value).all() for name, value in run.metrics.items() if "val" in name)
    assert run.metrics["val_acc5"] == 100  # of four classes
    after = run.model.state_dict()
    weight = next(name for name in after if name.startswith(f"{host.backbone}.") and "weight" in name)
    moved = [name for name in after if name in run.before and not after[name].equal(run.before[name])]
    assert weight in moved or run.method == "mocov3"
    assert "classifier.weight" in moved
    if run.momentum:
        assert weight.replace(host.backbone, host.momentum_backbone) in moved
        assert "momentum_val_acc1" in run.metrics


def test_the_momentum_rises_to_its_final_value(run):
    expected = [0.9 + 0.1 * (1 - math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert run.trace.taus == pytest.approx(expected if run.momentum else [])


def test_the_learning_rate_follows_the_schedule_by_step(run):
    # Two steps of warm-up, then half a cosine over two; recorded after the schedule has moved.
    backbone, classifier = ([lrs[group] for lrs in run.trace.lrs] for group in (0, 1))
    assert backbone == pytest.approx([0.01, 0.01, 0.005, 0.0])
    assert classifier == pytest.approx([0.02, 0.02, 0.01, 0.0])


def test_a_checkpoint_loads_without_running_code(run):
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert set(run.before) <= set(checkpoint["state_dict"])


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(run, build):
    model, trace = build(run.method, **OPTIONS), Trace()
    trainer = tiny_trainer(callbacks=[trace])
    trainer.fit(model, *tiny_loaders(), ckpt_path=run.checkpoint)
    assert trace.losses == pytest.approx(run.trace.losses[2:], rel=1e-4)
    assert trace.lrs == [pytest.approx(lrs) for lrs in run.trace.lrs[2:]]
    assert trace.taus == pytest.approx(run.trace.taus[2:])
    resumed, whole = model.state_dict(), run.model.state_dict()
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
