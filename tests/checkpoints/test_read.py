"""Checkpoints of either generation, stock or masked, are read; nothing else is."""

import functools
import pickle

import pytest
import torch

from amask_solo.checkpoints.read import backbone_state, read
from amask_solo.errors import UserError
from tests.tiny import tiny_loaders, tiny_trainer

WEIGHT = torch.arange(6.0).reshape(2, 3)
PREFIXES = [("backbone", "momentum_backbone"), ("encoder", "momentum_encoder")]


def checkpoint(backbone: str, teacher: str) -> dict:
    return {
        "epoch": 3,
        "state_dict": {
            f"{backbone}.conv1.weight": WEIGHT,
            f"{backbone}.encoder.bias": WEIGHT[0],
            f"{teacher}.conv1.weight": -WEIGHT,
            "projector.0.weight": WEIGHT,
            f"adversary.game.masker.{backbone}.weight": -WEIGHT,
        },
        "optimizer_states": [{"state": {}}],
        "lr_schedulers": [{"last_epoch": 2, "get_lr": functools.partial(max, 1)}],
        "adversary": {"optimizer": {}},
        "amask_host": {"tau": 0.9},
    }


@pytest.mark.parametrize("prefixes", PREFIXES)
def test_the_backbone_is_found_and_never_the_teacher_or_the_masker(prefixes):
    state = backbone_state(checkpoint(*prefixes))
    assert set(state) == {"conv1.weight", "encoder.bias"}
    assert state["conv1.weight"].equal(WEIGHT)


def test_a_file_and_a_bare_state_dict_are_read(tmp_path):
    torch.save(checkpoint("backbone", "momentum_backbone")["state_dict"], tmp_path / "bare.pth")
    assert backbone_state(tmp_path / "bare.pth")["conv1.weight"].equal(WEIGHT)


class Alarm:
    """Stands for code in a pickle that must not run."""

    def __reduce__(self):
        return exec, ("raise SystemExit('ran code from a checkpoint')",)


def test_a_checkpoint_with_pickled_objects_is_read_without_running_them(tmp_path):
    source = checkpoint("encoder", "momentum_encoder")
    source["lr_schedulers"] = [{"get_lr": functools.partial(Alarm), "last_epoch": 2}]
    source["callbacks"] = {"bad": Alarm()}
    torch.save(source, tmp_path / "stock.ckpt")
    assert backbone_state(tmp_path / "stock.ckpt")["conv1.weight"].equal(WEIGHT)


def test_a_bare_pickle_is_refused_without_running_it(tmp_path):
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Alarm()))
    with pytest.raises(UserError, match=r"bare\.ckpt"):
        read(tmp_path / "bare.ckpt")


@pytest.mark.parametrize("zipped", [True, False])
def test_the_older_format_of_torch_is_read_without_running_what_is_in_it(zipped, tmp_path):
    source = {**checkpoint("encoder", "momentum_encoder"), "callbacks": Alarm()}
    torch.save(source, tmp_path / "old.ckpt", _use_new_zipfile_serialization=zipped)
    assert backbone_state(tmp_path / "old.ckpt")["conv1.weight"].equal(WEIGHT)


def test_tensors_without_names_are_no_checkpoint(tmp_path):
    torch.save({1: WEIGHT}, tmp_path / "numbers.ckpt")
    with pytest.raises(UserError, match="Found no tensors"):
        read(tmp_path / "numbers.ckpt")


def test_a_stock_simsiam_checkpoint_is_read(host, build, tmp_path, monkeypatch):
    model = build("simsiam")
    # Without the repair this is what the host writes: a scheduler inside its own state.
    monkeypatch.setattr(type(model), "on_save_checkpoint", lambda self, checkpoint: None)
    trainer = tiny_trainer(max_epochs=1)
    trainer.fit(model, tiny_loaders(1)[0])
    trainer.save_checkpoint(tmp_path / "stock.ckpt")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        torch.load(tmp_path / "stock.ckpt", weights_only=True)
    backbone = getattr(model, host.backbone).state_dict()
    state = backbone_state(tmp_path / "stock.ckpt")
    assert state.keys() == backbone.keys()
    assert all(state[name].equal(backbone[name]) for name in state)


def test_no_backbone_is_an_error_that_names_what_is_there():
    with pytest.raises(UserError, match="found host, projector"):
        backbone_state({"host.backbone.weight": WEIGHT, "projector.weight": WEIGHT})


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="There is no checkpoint"):
        read(tmp_path / "none.ckpt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path, content):
    path = tmp_path / "odd.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint"):
        read(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 1}, [WEIGHT], {"state_dict": {}}])
def test_a_file_without_named_tensors_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match="Found no tensors"):
        read(tmp_path / "odd.ckpt")
