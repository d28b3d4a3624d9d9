"""amask-export, from a run folder to the libraries that load the backbone."""

import json

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from tests.cli.command import call


def test_a_run_folder_becomes_a_torchvision_model(finished):
    said = call("export", f"ckpt={finished.folder}", cwd=finished.folder)
    path = finished.folder / "backbone_torchvision.pth"
    assert said.code == 0, said.err
    state = torch.load(path, weights_only=True)
    keys = torchvision.models.resnet18().load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["fc.weight", "fc.bias"], [])
    assert str(path) in said.out
    assert "method amask_byol, epochs 2" in said.out
    assert json.loads(path.with_suffix(".json").read_text())["load"] in said.out


@pytest.mark.parametrize("target", ["timm", "safetensors"])
def test_a_checkpoint_becomes_a_file_of_a_chosen_name(finished, target, tmp_path):
    # The host's own checkpoints have an equals sign in their names.
    checkpoint = tmp_path / "byol-ep=1.ckpt"
    checkpoint.write_bytes((finished.folder / "checkpoints" / "last.ckpt").read_bytes())
    said = call("export", "ckpt=byol-ep=1.ckpt", f"format={target}", "path=out/b.bin", cwd=tmp_path)
    assert said.code == 0, said.err
    if target == "timm":
        state = torch.load(tmp_path / "out" / "b.bin", weights_only=True)
    else:
        state = safetensors.torch.load_file(tmp_path / "out" / "b.bin")
    timm.create_model("resnet18", num_classes=0).load_state_dict(state)


def test_a_file_lies_beside_its_checkpoint(finished, tmp_path):
    checkpoint = tmp_path / "some.ckpt"
    checkpoint.write_bytes((finished.folder / "checkpoints" / "last.ckpt").read_bytes())
    said = call("export", f"ckpt={checkpoint}", "format=safetensors", cwd=finished.folder)
    assert said.code == 0, said.err
    assert (tmp_path / "some_backbone_safetensors.safetensors").is_file()
