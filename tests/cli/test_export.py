"""amask-export, from a run folder to the libraries that load the backbone."""

import json
import subprocess
import sys

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from omegaconf import OmegaConf
from torchvision.transforms.functional import to_pil_image

from amask_solo.augment.views import evaluation_view
from amask_solo.checkpoints.networks import load_backbone
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
    code = json.loads(path.with_suffix(".json").read_text())["load"]
    assert code.replace(path.name, str(path)) in said.out


@pytest.mark.nightly
@pytest.mark.parametrize("target", ["torchvision", "timm", "safetensors"])
def test_the_printed_code_runs_without_this_package_and_prepares_images_as_in_training(finished, target, tmp_path):
    image = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8)
    to_pil_image(image[0]).save(tmp_path / "image.png")
    code = "import sys\nsys.modules['amask_solo'] = sys.modules['solo'] = None\nfrom PIL import Image\n"
    path = tmp_path / f"{target}.bin"
    said = call("export", f"ckpt={finished.folder}", f"format={target}", f"path={path}", cwd=tmp_path)
    code += said.out.partition("Load it:")[2]
    code += "shrunk = transform(Image.open('image.png').resize((50, 40)))\n"
    code += "image = transform(Image.open('image.png'))[None]\n"
    code += "torch.save([shrunk, image, model(image).detach()], 'loaded.pt')\n"
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    stored = OmegaConf.load(finished.folder / "summary.json")
    wanted = evaluation_view(image, mean=stored["mean"], std=stored["std"], size=32)
    backbone, _ = load_backbone(finished.folder / "checkpoints" / "last.ckpt")
    with torch.no_grad():
        features = backbone(wanted)
    shrunk, prepared, found = torch.load(tmp_path / "loaded.pt", weights_only=True)
    assert shrunk.shape == (3, 32, 32)
    torch.testing.assert_close(prepared, wanted)
    torch.testing.assert_close(found, features)


def test_the_teacher_is_exported_if_it_is_asked_for(finished, tmp_path):
    for which in ("student", "teacher"):
        said = call("export", f"ckpt={finished.folder}", f"which={which}", f"path={tmp_path / which}", cwd=tmp_path)
        assert said.code == 0, said.err
    student, teacher = (torch.load(tmp_path / which, weights_only=True) for which in ("student", "teacher"))
    saved = torch.load(finished.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    name = next(name for name in saved if name.startswith("momentum_") and name.endswith("layer1.0.conv1.weight"))
    assert teacher["layer1.0.conv1.weight"].equal(saved[name])
    assert not student["layer1.0.conv1.weight"].equal(saved[name])


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


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("checkpoints/last.ckpt", "the checkpoint that is exported"),
        ("checkpoints/backbone.pth", "where the run keeps its checkpoints"),
        ("summary.pth", "summary.json is a file of the run"),
        ("metrics.csv", "metrics.csv is a file of the run"),
        ("out.json", "a description of the tensors is written"),
    ],
)
def test_no_file_of_the_run_is_replaced(finished, place, why):
    before = contents(finished.folder)
    said = call("export", f"ckpt={finished.folder}", "format=timm", f"path={place}", cwd=finished.folder)
    assert said.code == 2
    assert why in " ".join(said.err.split())
    assert contents(finished.folder) == before


@pytest.mark.parametrize(("source", "place"), [("a.ckpt", "./a.ckpt"), ("a.json", "a.pth")])
def test_a_checkpoint_outside_a_run_is_not_replaced_either(finished, tmp_path, source, place):
    (tmp_path / source).write_bytes((finished.folder / "checkpoints" / "last.ckpt").read_bytes())
    before = contents(tmp_path)
    said = call("export", f"ckpt={source}", "format=timm", f"path={place}", cwd=tmp_path)
    assert said.code == 2
    assert "the checkpoint that is exported" in " ".join(said.err.split())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("mine", ["b.json", "b.pth", "b.txt"])
def test_a_file_of_something_else_is_not_replaced_but_an_export_is(finished, tmp_path, mine):
    (tmp_path / mine).write_text('{"mine": 1}')
    before = contents(tmp_path)
    path = f"path={'b.pth' if mine == 'b.json' else mine}"
    said = call("export", f"ckpt={finished.folder}", path, cwd=tmp_path)
    assert said.code == 2
    assert f"{mine}, already there, would be replaced and is no export" in " ".join(said.err.split())
    assert contents(tmp_path) == before
    (tmp_path / mine).unlink()
    for _ in range(2):
        assert call("export", f"ckpt={finished.folder}", path, cwd=tmp_path).code == 0


def test_two_jobs_of_a_sweep_do_not_write_the_same_file(finished, tmp_path):
    said = call(
        "export", "-m", f"ckpt={finished.folder},{finished.folder}/checkpoints/last.ckpt", "path=b.pth", cwd=tmp_path
    )
    assert said.code == 2
    assert "Several jobs of this command would write to" in said.err
    assert said.out.count("Wrote") == 1


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
