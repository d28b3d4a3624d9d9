"""amask-pretrain, from the command line to the files of a run."""

import csv
import json
import shlex

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from amask_solo.cli.comparison import make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.hosts.repairs import STATE
from amask_solo.settings.pretraining import OBSERVERS
from tests.cli.command import BARE, HEADS, NARROW, SMALL, call, pretrain
from tests.daily import one_in

MINE = '''
import torch
from solo.methods.base import BaseMethod


class Mine(BaseMethod):
    """Views of an image lie close together; only so that there is an objective."""

    @property
    def learnable_params(self):
        return [*super().learnable_params, {"name": "head", "params": self.head.parameters()}]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = torch.nn.Linear(self.features_dim, 8)

    def training_step(self, batch, batch_idx):
        out = super().training_step(batch, batch_idx)
        view_1, view_2 = (self.head(feats) for feats in out["feats"])
        return out["loss"] - torch.cosine_similarity(view_1, view_2).mean()
'''


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


# ---------------------------------------------------------------------- the files of a finished run


def test_the_configuration_is_kept_with_all_values(finished):
    cfg = OmegaConf.load(finished.folder / "config.yaml")
    assert cfg.method == "amask_byol"
    assert cfg.optimizer.batch_size == 8
    assert cfg.name == "amask_byol"
    assert OmegaConf.missing_keys(cfg) == set()


def test_the_metrics_have_a_row_for_each_epoch(finished):
    found = [row for row in rows(finished.folder) if row["val_acc1"]]
    assert [row["epoch"] for row in found] == ["0", "1"]
    assert all(float(row["masks/area"]) == pytest.approx(0.25, abs=1e-2) for row in found)
    assert all(row["val_knn_acc1"] for row in found)


def test_the_checkpoint_holds_encoder_and_masker_and_nothing_unsafe(finished):
    for name in ("last.ckpt", "best.ckpt"):
        state = torch.load(finished.folder / "checkpoints" / name, weights_only=True)["state_dict"]
        roots = {key.split(".")[0] for key in state}
        assert "adversary" in roots
        assert roots & {"backbone", "encoder"}


def test_the_masks_are_in_pictures(finished):
    pictures = sorted((finished.folder / "masks").glob("epoch_*.png"))
    assert len(pictures) >= 2
    with Image.open(pictures[-1]) as picture:
        assert min(picture.size) > 200
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20)) > 100


def test_the_summary_tells_what_was_run_and_what_came_out(finished):
    found = summary(finished.folder)
    assert (found["status"], found["method"], found["epochs_done"], found["steps"]) == ("finished", "amask_byol", 2, 4)
    assert found["seed"] == 0
    assert found["masks"]["area"] == pytest.approx(0.25, abs=1e-2)
    assert 0 <= found["knn_acc1"] <= 100


def test_nothing_else_is_written(finished):
    names = {path.name for path in finished.folder.iterdir()} - {
        "backbone_torchvision.pth",
        "backbone_torchvision.json",
    }
    assert names == {"config.yaml", "metrics.csv", "checkpoints", "masks", "report.html", "summary.json"}
    assert [path.name for path in finished.folder.parent.parent.iterdir()] == ["runs"]


def test_the_command_tells_how_it_went_and_where_the_results_lie(finished):
    assert "epoch 1/2" in finished.said.out
    assert "amask_byol on shapes" in finished.said.out
    assert "online kNN accuracy" in finished.said.out
    # What other packages say is left out; findings about the masks are plain lines.
    assert all(line.startswith("Warning: Epoch") for line in finished.said.err.splitlines())


def test_the_command_tells_what_one_may_do_next_in_words_that_work(finished):
    following = finished.said.out.partition("Next\n")[2]
    assert "masks/epoch_0002.png" in following
    offered = {line.split()[0]: shlex.split(line)[1:] for line in following.splitlines() if line}
    assert offered["compare"][:4] == ["amask-compare", "base=[byol]", "arms=[stock,mine]", "+definitions.mine={}"]
    assert make_runs(composed("compare", sort_arguments(offered["compare"][1:])))
    for name in ("evaluate", "export"):
        said = call(name, *offered[name][1:], cwd=finished.folder.parent.parent)
        assert said.code == 0, said.err


@pytest.mark.parametrize("named", one_in(2, [["--config-dir", "mine"], ["hydra.searchpath=[file://mine]"]]))
def test_what_one_may_do_next_finds_the_users_own_configuration_files(named, tmp_path):
    (tmp_path / "mine" / "masker").mkdir(parents=True)
    (tmp_path / "mine" / "masker" / "none_of_theirs.yaml").write_text(
        "# @package adversary.masker\n_target_: amask_solo.maskers.NoMasks\n"
    )
    said = pretrain(*SMALL, *BARE, *named, "masker=none_of_theirs", cwd=tmp_path)
    assert said.code == 0, said.err
    assert f"  compare   {shlex.join(['amask-compare', *named])} 'base=[byol]'" in said.out
    assert "'+definitions.mine={masker: none_of_theirs}'" in said.out


# ---------------------------------------------------------------------- other runs


def test_the_stock_method_trains_without_masks(tmp_path):
    said = pretrain("method=simsiam", *SMALL, "mask_panels=1", cwd=tmp_path)
    folder = tmp_path / "runs" / "simsiam_shapes_seed0"
    assert (said.code, said.err) == (0, "")
    assert "adversary" not in OmegaConf.load(folder / "config.yaml")
    assert not (folder / "masks").exists()
    assert summary(folder)["masks"] == {}


def test_another_optimizer_leaves_out_what_it_does_not_know(tmp_path):
    said = pretrain(*SMALL, *BARE, "optimizer.name=adamw", "optimizer.lr=1e-3", cwd=tmp_path)
    assert said.code == 0, said.err


@pytest.mark.nightly
def test_wandb_runs_offline_and_each_run_of_a_sweep_is_one_there(tmp_path):
    pytest.importorskip("wandb")
    argv = [*SMALL, "online_knn=0", "logger=wandb", "logger.mode=offline", "-m", "seed=0,1"]
    said = pretrain(*argv, cwd=tmp_path)
    assert said.code == 0, said.err
    for seed in (0, 1):
        folder = tmp_path / "runs" / f"amask_byol_shapes_seed{seed}"
        assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1
        assert list(folder.glob("wandb/offline-run-*/files/media/images/masks/*.png"))
        assert rows(folder)


def test_a_sweep_gives_each_run_a_folder_of_its_own(tmp_path):
    small = [s for s in SMALL if "pred" not in s]
    said = pretrain("-m", "method=simclr,amask_simclr", "seed=0,1", *small, *BARE, cwd=tmp_path)
    assert said.code == 0, said.err
    folders = sorted(path.parent for path in tmp_path.glob("runs/*/summary.json"))
    assert [folder.name for folder in folders] == [
        "amask_simclr_shapes_seed0",
        "amask_simclr_shapes_seed1",
        "simclr_shapes_seed0",
        "simclr_shapes_seed1",
    ]
    assert {(summary(f)["method"], summary(f)["seed"]) for f in folders} == {
        (method, seed) for method in ("simclr", "amask_simclr") for seed in (0, 1)
    }


@pytest.mark.nightly
def test_two_runs_of_a_sweep_do_not_take_the_same_folder(tmp_path):
    rates = ["overwrite=true", "optimizer.lr=0.1,0.2"]
    said = pretrain("-m", "method=simclr", *NARROW, HEADS[0], *BARE, *rates, cwd=tmp_path)
    assert said.code == 2
    assert "Several jobs of this command would write to" in said.err
    assert "name=lr${optimizer.lr}" in said.err
    assert "lr: 0.1" in (tmp_path / "runs" / "simclr_shapes_seed0" / "config.yaml").read_text()
    said = pretrain("-m", "method=simclr", *NARROW, HEADS[0], *BARE, *rates, "name=lr${optimizer.lr}", cwd=tmp_path)
    assert said.code == 0, said.err
    assert (tmp_path / "runs" / "lr0.2_shapes_seed0" / "summary.json").is_file()


def test_a_sweep_goes_on_after_a_mistake_in_one_run(tmp_path):
    argv = ["-m", "method=simclr", "max_epochs=0,1", *NARROW, HEADS[0], *BARE]
    said = pretrain(*argv, cwd=tmp_path)
    assert said.code == 2
    assert said.err.count("Error: ") == 1
    assert summary(tmp_path / "runs" / "simclr_shapes_seed0")["status"] == "finished"


def test_the_last_checkpoint_is_of_the_last_step_also_where_the_trainer_ends_the_run(tmp_path):
    few = ["max_epochs=4", "save_every=2", "trainer.max_steps=5", "run_folder=run"]  # in the third epoch of two steps
    assert pretrain("method=simclr", *NARROW, HEADS[0], *BARE, *few, cwd=tmp_path).code == 0
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert (summary(tmp_path / "run")["epochs_done"], last["global_step"]) == (3, 5)
    assert last["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"] == 3


def test_overwriting_leaves_what_the_run_did_not_write(tmp_path):
    folder = tmp_path / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "notes.txt").write_text("keep me")
    (folder / "config.yaml").write_text("max_epochs: 9")
    (folder / "checkpoints" / "old.ckpt").write_text("old")
    said = pretrain("method=simclr", *NARROW, *BARE, "run_folder=mine", "overwrite=true", cwd=tmp_path)
    assert said.code == 0, said.err
    assert (folder / "notes.txt").read_text() == "keep me"
    assert not (folder / "checkpoints" / "old.ckpt").exists()


def test_resuming_a_finished_run_changes_nothing(finished):
    before = rows(finished.folder)
    said = pretrain(*HEADS, "max_epochs=2", "resume=true", cwd=finished.folder.parent.parent)
    assert said.code == 0, said.err
    assert rows(finished.folder) == before
    assert summary(finished.folder)["epochs_done"] == 2


def test_what_only_watches_a_run_may_change_when_it_is_resumed(finished):
    before = (finished.folder / "metrics.csv").read_bytes()
    unwatched = [f"{key}=0" for key in OBSERVERS]
    said = pretrain(*HEADS, "max_epochs=2", "resume=true", *unwatched, cwd=finished.folder.parent.parent)
    assert (said.code, said.err) == (0, "")
    assert (finished.folder / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize("how", one_in(2, ["base_class", "--config-dir"]))
def test_a_base_objective_of_ones_own_is_pretrained(how, tmp_path):
    (tmp_path / "my_objective.py").write_text(MINE)
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "amask_mine.yaml").write_text(
        "# @package _global_\n"
        "defaults: [/adversary: default]\n"
        "method: amask_mine\n"
        "base_class: my_objective.Mine\n"
        "optimizer: {name: adamw, lr: 1.0e-3, weight_decay: 0.0}\n"
    )
    argv = {
        "base_class": ["method=amask_simclr", "base_class=my_objective.Mine", "name=amask_mine"],
        "--config-dir": ["--config-dir", "mine", "method=amask_mine"],
    }[how]
    said = pretrain(*argv, *BARE, cwd=tmp_path)
    assert said.code == 0, said.err
    folder = tmp_path / "runs" / "amask_mine_shapes_seed0"
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint[STATE]["base_class"] == "my_objective.Mine"
    state = checkpoint["state_dict"]
    assert "head.weight" in state
    assert any(key.startswith("adversary.") for key in state)


def test_the_configuration_can_be_looked_at(tmp_path):
    said = call("pretrain", "method=byol", "max_epochs=7", "--cfg", "job", cwd=tmp_path)
    cfg = OmegaConf.create(said.out)
    assert (cfg.method, cfg.max_epochs) == ("byol", 7)
    assert list(tmp_path.iterdir()) == []
