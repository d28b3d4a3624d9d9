"""The exported backbone loads into torchvision and timm, and computes what the host's does."""

import ast
import json
import pickle

import numpy as np
import pytest
import safetensors.torch
import tifffile
import timm
import torch
import torchvision
from PIL import ExifTags, Image
from torch import nn

from amask_solo.augment.views import evaluation_view
from amask_solo.checkpoints.export import export_backbone
from amask_solo.checkpoints.loading import loading_code
from amask_solo.checkpoints.read import images_of, read
from amask_solo.data import load_image_folder, load_image_masks
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import find_arch
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.repairs import STATE
from tests.daily import one_in
from tests.data.pictures import noise, save
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
    assert keys.missing_keys == ["fc.weight", "fc.bias"]
    model.fc = nn.Identity()
    assert features(model).equal(features(backbone))
    assert result.tensors == len(backbone.state_dict())


def test_a_resnet_loads_into_timm_strictly(trained, tmp_path):
    backbone, checkpoint = trained()
    result = export_backbone(checkpoint, tmp_path / "resnet.pth", format="timm")
    model = timm.create_model("resnet18", num_classes=0, checkpoint_path=str(result.path))
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


def test_metadata_that_a_later_export_has_replaced_are_refused(tmp_path):
    def written(seed, name, target):
        torch.manual_seed(seed)
        model = timm.create_model("resnet18", num_classes=0, **NARROW["kwargs"])
        known = {"backbone": NARROW["name"], "backbone_kwargs": NARROW["kwargs"]}
        known["images"] = {"image_size": 32, "mean": [seed / 4] * 3, "std": [0.1] * 3}
        return export_backbone({"state_dict": saved(model), STATE: known}, tmp_path / name, format=target).path

    first = written(1, "s.pth", "timm")
    assert images_of(read(first))["mean"] == [0.25] * 3
    second = written(2, "s.safetensors", "safetensors")
    assert images_of(read(second))["mean"] == [0.5] * 3
    with pytest.raises(UserError, match=r"s\.json describes other tensors than those in .*s\.pth.*Export this"):
        read(first)
    # Earlier versions wrote no fingerprint.
    said = json.loads((tmp_path / "s.json").read_text())
    del said["fingerprint"]
    (tmp_path / "s.json").write_text(json.dumps(said))
    assert images_of(read(first))["mean"] == [0.5] * 3
    (tmp_path / "s.json").unlink()
    assert images_of(read(first)) == {}


# ---------------------------------------------------------------------- images of another size, ONNX, detectron2


def saved(model: nn.Module) -> dict:
    return {f"backbone.{name}": value for name, value in model.state_dict().items()}


def small_vit(size: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=size, patch_size=8, depth=12).eval()


def test_a_vit_is_exported_for_images_of_another_size(tmp_path, monkeypatch):
    model = small_vit()
    result = export_backbone(saved(model), tmp_path / "vit.pth", format="timm", image_size=64)
    assert "img_size=64, patch_size=8" in result.metadata["load"]
    monkeypatch.chdir(tmp_path)
    model.set_input_size(img_size=64)
    assert features(loaded(result.metadata["load"])).equal(features(model))


def test_timms_own_vit_is_exported_for_images_of_another_size(build, host, tmp_path, monkeypatch):
    network = {"name": "timm/test_vit", "kwargs": {"img_size": 32, "global_pool": "avg"}}
    known = {"backbone": network["name"], "backbone_kwargs": network["kwargs"]}
    checkpoint = {"state_dict": build("byol", backbone=network).state_dict(), STATE: known}
    result = export_backbone(checkpoint, tmp_path / "vit.pth", format="timm", image_size=64)
    assert json.loads(result.metadata["kwargs"]) == {"img_size": 64, "global_pool": "avg"}
    monkeypatch.chdir(tmp_path)
    assert features(loaded(result.metadata["load"])).shape == (2, 64)


OF_ONNX = [DEEP_STEM, {"name": "timm/test_vit", "kwargs": {"depth": 2}}]


@pytest.mark.nightly
@pytest.mark.parametrize("network", OF_ONNX, ids=["resnet", "vit"])
def test_onnx_computes_what_the_backbone_does_for_any_number_of_images(network, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = timm.create_model(network["name"].removeprefix("timm/"), num_classes=0, **network["kwargs"]).eval()
    known = {"backbone": network["name"], "backbone_kwargs": network["kwargs"]}
    checkpoint = {"state_dict": saved(model), STATE: known}
    result = export_backbone(checkpoint, tmp_path / "b.onnx", format="onnx", image_size=64)
    getattr(model, "set_input_size", lambda **_: None)(img_size=64)
    monkeypatch.chdir(tmp_path)
    run = loaded(result.metadata["load"])
    for count in (1, 3):
        images = torch.randn(count, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(run(images)), model(images), rtol=1e-3, atol=1e-4)


def test_onnx_needs_to_know_the_size_of_the_images(tmp_path):
    with pytest.raises(UserError, match="image_size=224"):
        export_backbone(saved(small_vit()), tmp_path / "b.onnx", format="onnx")


def in_detectron2(depths: list[int], *, bottleneck: bool) -> dict[str, list[int]]:
    """Return names and shapes of the tensors of detectron2's ResNet."""
    shapes: dict[str, list[int]] = {}

    def convolution(name: str, out: int, channels: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = [out, channels, kernel, kernel]
        shapes.update({f"{name}.norm.{key}": [out] for key in ("weight", "bias", "running_mean", "running_var")})

    convolution("stem.conv1", 64, 3, 7)
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for number in range(depth):
            block = f"res{stage + 2}.{number}"
            steps = [(width, 1), (width, 3), (out, 1)] if bottleneck else [(width, 3), (out, 3)]
            if number == 0 and channels != out:
                convolution(f"{block}.shortcut", out, channels, 1)
            for place, (wide, kernel) in enumerate(steps, start=1):
                convolution(f"{block}.conv{place}", wide, channels, kernel)
                channels = wide
    return shapes


@pytest.mark.parametrize(("name", "depths"), [("resnet18", [2, 2, 2, 2]), ("resnet50", [3, 4, 6, 3])])
def test_detectron2_finds_every_tensor_of_its_resnet(name, depths, tmp_path):
    model = torchvision.models.get_model(name)
    model.fc = nn.Identity()
    result = export_backbone(saved(model), tmp_path / "r.pkl", format="detectron2")
    held = pickle.loads(result.path.read_bytes())  # noqa: S301
    shapes = {key: list(value.shape) for key, value in held["model"].items() if "num_batches" not in key}
    assert shapes == in_detectron2(depths, bottleneck=name == "resnet50")
    assert held["matching_heuristics"] is True
    assert (held["model"]["res5.0.shortcut.weight"] == model.layer4[0].downsample[0].weight.detach().numpy()).all()
    assert f"cfg.MODEL.RESNETS.DEPTH = {name.removeprefix('resnet')}" in result.code


@pytest.mark.parametrize(("stored", "then"), one_in(3, [(32, 64), (37, None), (64, None)]))
def test_only_images_that_were_seen_whole_are_so_at_another_size(tmp_path, stored, then):
    known = {"images": {"image_size": 32, "stored_size": stored, "mean": [0.5] * 3, "std": [0.2] * 3}}
    checkpoint = {"state_dict": saved(small_vit()), STATE: known}
    for size, expected in ((32, stored), (64, then)):
        result = export_backbone(checkpoint, tmp_path / "vit.pth", format="timm", image_size=size)
        said = json.loads(result.metadata["images"])
        assert (said["image_size"], said.get("stored_size")) == (size, expected)


def test_detectron2_is_refused_for_what_it_does_not_have(tmp_path):
    with pytest.raises(UserError, match="Use format=timm"):
        export_backbone(saved(small_vit()), tmp_path / "x.pkl", format="detectron2")
    small = timm.create_model("resnet18", num_classes=0)
    small.conv1 = nn.Conv2d(3, 64, 3, bias=False)
    with pytest.raises(UserError, match="stem=imagenet"):
        export_backbone(saved(small), tmp_path / "x.pkl", format="detectron2")


@pytest.mark.parametrize("target", ["torchvision", "timm", "safetensors", "onnx", "detectron2"])
def test_a_path_with_any_letter_is_printed_as_python_reads_it(target):
    file = 'my "run"\\Bob\'s\n{x}/día.pth'
    state = torchvision.models.resnet18().state_dict()
    code = loading_code(state, Blueprint("resnet18"), target, file, images={}, view_filter=None)
    assert file in [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


def printed_transform(images):
    code = loading_code({}, Blueprint("mine"), "safetensors", "x", images=images, view_filter=None)
    names: dict = {}
    exec("\n".join(line for line in code.splitlines() if not line.startswith("tensors =")), names)  # noqa: S102
    return names["transform"]


@pytest.mark.parametrize("top", [255, 4095])
@pytest.mark.parametrize("height", [60, 70])
def test_the_printed_transform_shrinks_files_as_they_are_shrunk_here(tmp_path, top, height):
    values = np.random.default_rng(0).integers(0, top + 1, (2, height, 60))
    for number, picture in enumerate(values):
        tifffile.imwrite(tmp_path / f"{number}.tif", picture.astype(np.uint8 if top == 255 else np.uint16))
    data = load_image_folder(train_path=str(tmp_path), image_size=32)
    images = {"image_size": 32, "mean": data.mean, "std": data.std, "value_range": data.value_range}
    wanted = evaluation_view(data.train.stack(), mean=data.mean, std=data.std, size=32)
    transform = printed_transform(images)
    for number in range(2):
        with Image.open(tmp_path / f"{number}.tif") as image:
            seen = transform(image if top > 255 else image.convert("RGB"))
        levels = 255 * torch.tensor(data.std)[:, None, None] * (seen - wanted[number])
        # Deep values are shrunk by torch, which does not round between rows and columns as Pillow does.
        assert levels.abs().mean() < (0.3 if top > 255 else 0.01)


def photos(place, **settings):
    """Write two pictures, wider than high in the file, and load them."""
    suffix, tag = settings.pop("suffix", ".png"), Image.Exif()
    tag[ExifTags.Base.Orientation] = settings.pop("orientation", 1)
    for number in range(2):
        save(noise(60, 70, seed=number), place / "photos" / f"{number}{suffix}", exif=tag)
    if not settings.pop("masks", False):
        return load_image_folder(train_path=str(place / "photos"), image_size=32, **settings)
    for number in range(2):
        save(Image.linear_gradient("L").resize((70, 60)), place / "masks" / f"{number}.png")
    folders = {"images_path": str(place / "photos"), "masks_path": str(place / "masks")}
    return load_image_masks(**folders, image_size=32, val_fraction=0.0, **settings)


WAYS = {
    "as by default": {},
    "stored as large as seen": {"load_size": 32},
    "stored larger": {"load_size": 50},
    "with masks": {"masks": True},
    "on their side": {"suffix": ".jpg", "orientation": 6},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_printed_transform_makes_of_a_file_what_evaluation_sees(tmp_path, way):
    data = photos(tmp_path, **way)
    images = {"image_size": 32, "stored_size": data.train.size, "mean": data.mean, "std": data.std}
    wanted = evaluation_view(data.train.stack(), mean=data.mean, std=data.std, size=32)
    transform = printed_transform(images)
    for file, view in zip(data.train.names, wanted, strict=True):
        with Image.open(tmp_path / "photos" / file) as image:
            levels = 255 * torch.tensor(data.std)[:, None, None] * (transform(image.convert("RGB")) - view)
        assert levels.abs().max() < 1.01


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_printed_transform_takes_values_in_either_order_of_bytes(tmp_path, order):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 9
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order)
    images = {"image_size": 8, "mean": (0.0,) * 3, "std": (1.0,) * 3, "value_range": (0, 600)}
    with Image.open(tmp_path / "a.tif") as image:
        seen = printed_transform(images)(image)
    torch.testing.assert_close(seen, torch.tensor(values / 600).float().expand(3, -1, -1), atol=0.51 / 255, rtol=0)
