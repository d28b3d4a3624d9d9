"""A run that a signal ends at any moment goes on as if nothing had been, bit for bit."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.cli.composed import composed
from amask_solo.hosts.installed import load_host
from amask_solo.masked.method import Masked
from tests.cli.command import BARE, HEADS, NARROW, Said, pretrain

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from soak import compare  # noqa: E402

THREE = [*NARROW, *BARE, "advantage=0", "data.num_train=24", "max_epochs=2", "stem=auto"]
WAYS = {
    "reversal": [],
    "alternating": ["update=alternating"],
    "several moves": ["++adversary.steps=2"],
    "accumulated": ["accumulate_grad_batches=2", "data.num_train=32"],
    "workers": ["loader.num_workers=1", "loader.device_cache=off"],
}


OTHERS = sorted({name for name in load_host().methods() if name not in ("byol", "deepclusterv2", "dino", "mae")})
SIZES = {"proj_hidden_dim": 16, "proj_output_dim": 4, "pred_hidden_dim": 16, "queue_size": 64, "num_prototypes": 8}
SIZES |= {"whitening_size": 8, "warmup_teacher_temperature_epochs": 2, "epoch_queue_starts": 1}


def settings(way: str) -> list[str]:
    """Return the settings of a way to train, or of a method."""
    if way in WAYS:
        return [*THREE, *HEADS, *WAYS[way]]
    kwargs = composed("pretrain", [f"method=amask_{way}"]).method_kwargs
    sizes = {
        name: [4, 4] if OmegaConf.is_list(kwargs[name]) else size for name, size in SIZES.items() if name in kwargs
    }
    return [*THREE, f"method=amask_{way}", *(f"method_kwargs.{name}={size}" for name, size in sizes.items())]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    made: dict[str, Path] = {}

    def run(way: str) -> Path:
        if way not in made:
            made[way] = tmp_path_factory.mktemp("undisturbed") / "run"
            said = pretrain(*settings(way), f"run_folder={made[way]}", cwd=made[way].parent)
            assert said.code == 0, said.err
        return made[way]

    return run


def saved(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def interrupted(
    folder: Path, monkeypatch, *, way: str, hook: str, batch: int, number: int = signal.SIGINT, times: int = 1
) -> Said:
    """Send a signal in a hook of the second epoch's batch, or of the first epoch if there is one batch alone."""
    before = getattr(Masked if hook == "training_step" else GameMonitor, hook)
    left = [times]

    def told(self, *given):
        trainer = self.trainer if hook == "training_step" else given[0]
        if left[0] and trainer.fit_loop.total_batch_idx == batch:
            left[0] -= 1
            os.kill(os.getpid(), number)
            if left[0]:
                left[0] -= 1
                os.kill(os.getpid(), number)
        return before(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Masked if hook == "training_step" else GameMonitor, hook, told)
        return pretrain(*settings(way), f"run_folder={folder}", cwd=folder.parent)


@pytest.mark.parametrize(
    ("way", "hook", "number"),
    [
        pytest.param("reversal", "on_train_batch_start", signal.SIGINT, marks=pytest.mark.nightly),
        ("reversal", "training_step", signal.SIGINT),
        pytest.param("reversal", "on_train_batch_end", signal.SIGHUP, marks=pytest.mark.nightly),
        pytest.param("alternating", "on_train_batch_end", signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param("several moves", "training_step", signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param("accumulated", "training_step", signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param("accumulated", "training_step", signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param("workers", "training_step", signal.SIGINT, marks=pytest.mark.nightly),
        # These prepare something when an epoch starts, which it does not when a run goes on within it.
        pytest.param("deepclusterv2", "training_step", signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param("dino", "training_step", signal.SIGINT, marks=pytest.mark.nightly),
        *(pytest.param(name, "training_step", signal.SIGINT, marks=pytest.mark.nightly) for name in OTHERS),
    ],
)
def test_a_signal_ends_the_run_after_the_step_and_it_goes_on(undisturbed, tmp_path, monkeypatch, way, hook, number):
    folder = tmp_path / "run"
    said = interrupted(folder, monkeypatch, way=way, hook=hook, batch=4, number=number)
    assert said.code == 128 + number, said.err
    assert saved(folder)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["completed"] in (5, 6)
    said = pretrain(*settings(way), f"run_folder={folder}", "resume=true", cwd=tmp_path)
    assert said.code == 0, said.err
    assert compare(folder, undisturbed(way)) == []


def test_a_signal_in_the_last_batch_of_an_epoch_ends_the_run_after_the_epoch(undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    said = interrupted(folder, monkeypatch, way="reversal", hook="on_train_batch_end", batch=2)
    assert said.code == 130
    assert saved(folder)["epoch"] == 0
    assert pretrain(*THREE, *HEADS, f"run_folder={folder}", "resume=true", cwd=tmp_path).code == 0
    assert compare(folder, undisturbed("reversal")) == []


def test_twice_ctrl_c_ends_the_run_at_once_with_the_checkpoint_that_there_is(tmp_path, monkeypatch, ctrl_c):
    folder = tmp_path / "run"
    said = interrupted(folder, monkeypatch, way="reversal", hook="training_step", batch=4, times=2)
    assert said.code == 130
    assert saved(folder)["global_step"] == 3
    assert "Traceback" not in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_ends_before_its_first_step_leaves_its_folder_free(tmp_path, monkeypatch, ctrl_c, number):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(GameMonitor, "setup", lambda *_, **__: os.kill(os.getpid(), number), raising=False)
        said = pretrain(*THREE, *HEADS, f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 128 + number
    assert not folder.exists()


def test_a_run_does_not_go_on_with_epochs_of_another_length(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    interrupted(folder, monkeypatch, way="reversal", hook="training_step", batch=1)
    said = pretrain(
        *THREE, *HEADS, "trainer.limit_train_batches=2", f"run_folder={folder}", "resume=true", cwd=tmp_path
    )
    assert said.code == 2
    assert "batches instead of 3" in said.err
    assert "init=" in said.err


@pytest.mark.usefixtures("logged_out")
def test_wandb_without_an_account_is_one_line_and_leaves_the_folder_free(tmp_path):
    folder = tmp_path / "run"
    said = pretrain(*THREE, *HEADS, "logger=wandb", f"run_folder={folder}", cwd=tmp_path)
    assert said.code == 2
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert "logger.mode=offline" in said.err
    assert not folder.exists()
