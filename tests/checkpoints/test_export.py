"""The exported backbone loads into torchvision and timm, and computes what the host's does."""

import json

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from amask_solo.checkpoints.export import export_backbone
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import find_arch
from amask_solo.hosts.installed import load_host
from tests.tiny import tiny_loaders, tiny_trainer

VIT = {"backbone": {"name": "vit_tiny", "kwargs": {"img_size": 64, "patch_size": 16}}}
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def features(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IMAGES)


def loaded(code: str) -> nn.Module:
    """Run the code that loads an export, and return its model."""
    names: dict = {}
    exec(code, names)  # noqa: S102
    return names["model"]


@pytest.fixture
def trained(build, tmp_path):
    """Train BYOL for a batch, so that BatchNorm statistics differ from fresh ones."""

    def trained(size=64, **overrides):
        model = build("byol", **overrides, max_epochs=1)
        trainer = tiny_trainer(max_epochs=1)
        trainer.fit(model, tiny_loaders(1, size=size)[0])
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return getattr(model, load_host().backbone), tmp_path / "last.ckpt"

    return trained


def test_a_resnet_loads_into_torchvision_with_only_fc_missing(trained, tmp_path):
    backbone, checkpoint = trained()
    result = export_backbone(checkpoint, tmp_path / "out" / "resnet.pth", format="torchvision")
    model = torchvision.models.resnet18()
    keys = model.load_state_dict(torch.load(result.path, weights_only=True), strict=False)
    assert keys.unexpected_keys == []
    assert tuple(keys.missing_keys) == result.missing == ("fc.weight", "fc.bias")
    model.fc = nn.Identity()
    assert features(model).equal(features(backbone))
    assert result.tensors == len(backbone.state_dict())


def test_a_resnet_loads_into_timm_strictly(trained, tmp_path):
    backbone, checkpoint = trained()
    result = export_backbone(checkpoint, tmp_path / "resnet.pth", format="timm")
    model = timm.create_model("resnet18", num_classes=0, checkpoint_path=str(result.path))
    assert result.missing == ()
    torch.testing.assert_close(features(model), features(backbone))


def test_a_vit_loads_into_timm_as_the_metadata_say(trained, tmp_path, monkeypatch):
    backbone, checkpoint = trained(**VIT)
    result = export_backbone(checkpoint, tmp_path / "vit.pth", format="timm")
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64, patch_size=16)
    model.load_state_dict(torch.load(result.path, weights_only=True))
    torch.testing.assert_close(features(model), features(backbone))
    assert "img_size=64, patch_size=16" in result.metadata["load"]
    monkeypatch.chdir(tmp_path)
    torch.testing.assert_close(features(loaded(result.metadata["load"])), features(backbone))


def test_safetensors_hold_the_backbone_and_its_metadata(trained, tmp_path):
    backbone, checkpoint = trained()
    result = export_backbone(checkpoint, tmp_path / "any.safetensors", format="safetensors")
    state = safetensors.torch.load_file(result.path)
    assert state.keys() == backbone.state_dict().keys()
    with safetensors.safe_open(result.path, "pt") as file:
        assert file.metadata() == result.metadata
    assert json.loads((tmp_path / "any.json").read_text()) == result.metadata
    assert result.metadata["arch"] == "resnet18"
    assert result.metadata["method"] == "byol"
    assert result.metadata["epochs"] == "1"


def test_the_cifar_stem_is_said_and_loads_as_said(trained, tmp_path):
    backbone, checkpoint = trained(size=16, **{"data.dataset": "cifar10"})
    result = export_backbone(checkpoint, tmp_path / "resnet.pth", format="torchvision")
    model = torchvision.models.resnet18()
    exec(result.metadata["stem"].partition("loading: ")[2])  # noqa: S102
    model.load_state_dict(torch.load(result.path, weights_only=True), strict=False)
    model.fc = nn.Identity()
    assert features(model).equal(features(backbone))


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "vit_small", "swin_tiny", "convnext_tiny"])
def test_the_architecture_is_found_by_its_shapes(arch):
    names = {"vit_small": "vit_small_patch16_224", "swin_tiny": "swin_tiny_patch4_window7_224"}
    with torch.device("meta"):
        model = getattr(timm.models, names.get(arch, arch))(num_classes=0)
    assert find_arch(model.state_dict()) == arch


@pytest.mark.parametrize("method", sorted({"mae", "mocov3"} & set(load_host().methods())))
def test_the_hosts_own_vits_load_into_timm(build, host, method, tmp_path):
    backbone = build(method, **VIT).backbone
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    result = export_backbone(state, tmp_path / "vit.pth", format="timm")
    assert result.metadata["arch"] == "vit_tiny"
    assert result.tensors == len(state)


def test_a_checkpoint_without_a_backbone_is_refused(tmp_path):
    with pytest.raises(UserError, match="No tensor of the checkpoint"):
        export_backbone({"model.weight": torch.ones(1)}, tmp_path / "x.pth", format="timm")
    assert not list(tmp_path.iterdir())


def test_a_wrong_architecture_is_refused(trained, tmp_path):
    _, checkpoint = trained()
    with pytest.raises(UserError, match="The backbone is no 'resnet50'"):
        export_backbone(checkpoint, tmp_path / "x.pth", format="torchvision", arch="resnet50")
    assert not (tmp_path / "x.pth").exists()


def test_torchvision_is_refused_for_a_vit_with_the_format_that_works(trained, tmp_path):
    _, checkpoint = trained(**VIT)
    with pytest.raises(UserError, match="Use format=timm"):
        export_backbone(checkpoint, tmp_path / "x.pth", format="torchvision")


NARROW = {"name": "timm/resnet18", "kwargs": {"channels": [16, 16, 16, 32]}}
DEEP_STEM = {"name": "timm/resnet10t", "kwargs": {"channels": [16, 16, 16, 32]}}


@pytest.mark.parametrize("network", [NARROW, DEEP_STEM], ids=["narrow", "deep stem"])
def test_a_network_of_timms_loads_as_the_metadata_say(network, trained, tmp_path, monkeypatch):
    backbone, checkpoint = trained(backbone=network, **{"data.dataset": "cifar10"})
    result = export_backbone(checkpoint, tmp_path / "b.pth", format="timm")
    assert json.loads(result.metadata["kwargs"]) == network["kwargs"]
    monkeypatch.chdir(tmp_path)
    torch.testing.assert_close(features(loaded(result.metadata["load"])), features(backbone))


def test_torchvision_is_refused_for_a_network_of_timms_with_the_formats_that_work(trained, tmp_path):
    _, checkpoint = trained(backbone=NARROW)
    with pytest.raises(UserError, match=r"'timm/resnet18'.*Use format=timm or format=safetensors"):
        export_backbone(checkpoint, tmp_path / "x.pth", format="torchvision")


def test_an_unknown_backbone_is_exported_in_its_own_names_only(tmp_path):
    state = {"backbone.odd.weight": torch.ones(2)}
    with pytest.raises(UserError, match="Use format=safetensors"):
        export_backbone(state, tmp_path / "x.pth", format="timm")
    assert export_backbone(state, tmp_path / "x.st", format="safetensors").tensors == 1
