"""Weights of other programs are found, and a training starts from them."""

from collections import OrderedDict

import pytest
import timm
import torch
import torchvision

from amask_solo.checkpoints.networks import load_backbone
from amask_solo.checkpoints.read import backbone_state
from amask_solo.checkpoints.start import start_from
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import resize_positions
from tests.cli.command import BARE, SMALL, pretrain
from tests.players import OneConvolution, build, masker_node


@pytest.fixture(scope="module")
def resnet():
    return torchvision.models.resnet18().state_dict()


@pytest.fixture(scope="module")
def vit():
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32, patch_size=8).state_dict()


def named(prefix: str, state: dict, change=lambda value: value) -> dict:
    return {prefix + name: change(value) for name, value in state.items()}


def as_children(prefix: str, state: dict) -> dict:
    places = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    inside = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return {f"{prefix}{places[name.split('.')[0]]}.{name.partition('.')[2]}": v for name, v in inside.items()}


def other(value):
    return value + 1


HEAD = {"head.mlp.0.weight": torch.zeros(2, 2), "projection_head.layers.0.weight": torch.zeros(2, 2)}
OF_RESNETS = {
    "torchvision": dict,
    "lightning": lambda s: {"state_dict": named("model.", s), "epoch": 3},
    "MoCo": lambda s: {
        "arch": "resnet18",
        "state_dict": named("module.encoder_q.", s) | named("module.encoder_k.", s, other),
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}},
    },
    "MoCo v3": lambda s: {"state_dict": named("module.base_encoder.", s) | named("module.momentum_encoder.", s, other)},
    "DINO": lambda s: {
        "student": named("module.backbone.", s, other) | HEAD,
        "teacher": named("backbone.", s) | HEAD,
    },
    "VISSL": lambda s: {
        "classy_state_dict": {"base_model": {"model": {"trunk": named("_feature_blocks.", s), "heads": HEAD}}}
    },
    "lightly": lambda s: {"state_dict": as_children("backbone.", s) | HEAD},
    "lightly's BYOL": lambda s: {
        "state_dict": as_children("backbone.", s) | as_children("backbone_momentum.", named("", s, other)) | HEAD
    },
    "SwAV": lambda s: named("module.", s | HEAD | {"prototypes.weight": torch.zeros(2, 2)}),
    "solo-learn": lambda s: {"state_dict": named("backbone.", s) | named("momentum_backbone.", s, other) | HEAD},
    "solo-learn 1.0.2": lambda s: {"state_dict": named("encoder.", s) | named("momentum_encoder.", s, other)},
}


@pytest.mark.parametrize("program", OF_RESNETS)
def test_the_backbone_of_each_program_is_found_without_its_heads(program, resnet):
    found = backbone_state(OF_RESNETS[program](resnet))
    wanted = {name: value for name, value in resnet.items() if not name.startswith("fc.")}
    assert found.keys() == wanted.keys()
    assert all(found[name].equal(wanted[name]) for name in wanted)


@pytest.mark.parametrize("program", ["MAE", "DINO"])
def test_the_vit_of_each_program_is_found_without_decoder_and_classifier(program, vit):
    decoder = {"mask_token": vit["cls_token"], "decoder_embed.weight": vit["cls_token"], "decoder_pos_embed": None}
    decoder["decoder_pos_embed"] = vit["pos_embed"]
    files = {"MAE": {"model": vit | decoder}, "DINO": {"student": {}, "teacher": named("module.backbone.", vit) | HEAD}}
    found = backbone_state(files[program])
    assert found.keys() == {name for name in vit if not name.startswith("head.")}


def test_a_classifier_of_torchvision_is_left_out_when_its_backbone_is_evaluated(resnet):
    backbone, arch = load_backbone(OrderedDict(resnet))
    assert arch == "resnet18"
    assert backbone.model.state_dict()["conv1.weight"].equal(resnet["conv1.weight"])


@pytest.fixture
def thin(host):
    """The weights of a narrow ResNet with a classifier, as another program would have them."""
    torch.manual_seed(1)
    own = getattr(build("byol", masker_node(OneConvolution)), host.backbone).state_dict()
    drawn = {name: torch.rand_like(value) if value.is_floating_point() else value for name, value in own.items()}
    return drawn | {"fc.weight": torch.zeros(10, 8), "fc.bias": torch.zeros(10)}


def test_a_method_starts_from_the_weights_of_another_program_and_so_does_its_teacher(tmp_path, thin, host):
    torch.save(OF_RESNETS["MoCo"](thin), tmp_path / "moco.pth.tar")
    model = build("byol", masker_node(OneConvolution))
    said = start_from(model, tmp_path / "moco.pth.tar")
    for name in (host.backbone, host.momentum_backbone):
        own = getattr(model, name).state_dict()
        assert all(own[key].equal(thin[key]) for key in own)
    assert f"{host.momentum_backbone} as a copy" in said
    assert "module.encoder_q.fc" in said
    assert "Not in the file" not in said


def test_what_is_taken_under_another_name_is_not_called_unused(tmp_path, thin):
    layers = {name: value for name, value in thin.items() if not name.startswith("fc.")}
    for state in (as_children("backbone.", layers), named("backbone.", layers)):
        torch.save({"state_dict": state | HEAD}, tmp_path / "other.ckpt")
        said = start_from(build("byol", masker_node(OneConvolution)), tmp_path / "other.ckpt")
        assert said.endswith("; not used: head, projection_head.")


def test_positions_without_those_of_a_class_token_are_left_out(vit):
    target = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=48, patch_size=8)
    alone = {**vit, "pos_embed": vit["pos_embed"][:, 1:]}
    assert resize_positions(alone, target)["pos_embed"].shape == (1, 16, 192)


def test_each_tensor_that_does_not_fit_is_named(tmp_path, thin):
    thin["conv1.weight"] = torch.zeros(8, 3, 9, 9)
    torch.save(thin, tmp_path / "resnet.pth")
    said = start_from(build("byol", masker_node(OneConvolution)), tmp_path / "resnet.pth")
    assert said.endswith("not used: fc. Not in the file, or of another shape: conv1.weight.")


def test_another_backbone_is_refused(tmp_path, vit):
    torch.save(vit, tmp_path / "vit.pth")
    with pytest.raises(UserError, match=r"only \d+ of the \d+ tensors of the backbone"):
        start_from(build("byol", masker_node(OneConvolution)), tmp_path / "vit.pth")


def test_the_positions_of_a_vit_are_resized_to_the_grid_of_the_views(vit):
    target = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=48, patch_size=8)
    resized = resize_positions(vit, target)["pos_embed"]
    assert resized.shape == (1, 1 + 36, 192)
    assert resized[:, 0].equal(vit["pos_embed"][:, 0])


def test_a_method_says_that_it_resized_the_positions(tmp_path, vit, host):
    torch.save({"model": vit}, tmp_path / "vit.pth")
    backbone = {"name": "timm/vit_tiny_patch16_224", "kwargs": {"img_size": 48, "patch_size": 8}}
    said = start_from(build("byol", backbone=backbone), tmp_path / "vit.pth")
    assert f"vit.pth: the backbone (pos_embed resized), {host.momentum_backbone} as a copy" in said


NET = [*SMALL, *BARE, "advantage=0", "stem=auto"]


@pytest.mark.nightly
def test_a_run_goes_on_for_longer_as_a_new_one_with_its_heads_teacher_and_masker(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert pretrain(*NET, f"run_folder={first}", cwd=tmp_path).code == 0
    said = pretrain(*NET, "optimizer.lr=0", "scheduler.warmup_start_lr=0", "optimizer.classifier_lr=0",
                    "adversary.optimizer.lr=0", "momentum.base_tau=1", f"init={first}", f"run_folder={second}",
                    cwd=tmp_path)  # fmt: skip
    assert said.code == 0, said.err
    assert f"Started from {first}" in said.out
    before, after = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (first, second))
    networks = [n for n in before["state_dict"] if n.endswith("weight") and "classifier" not in n]
    assert any(name.startswith("adversary.") for name in networks)
    assert all(before["state_dict"][name].equal(after["state_dict"][name]) for name in networks)


def test_weights_that_are_not_there_are_refused_before_anything_is_read(tmp_path):
    said = pretrain(*NET, "init=nowhere.pth", cwd=tmp_path)
    assert (said.code, "nowhere.pth" in said.err) == (2, True)
    assert not (tmp_path / "runs").exists()
