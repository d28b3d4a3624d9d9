"""The networks that are evaluated are those that were trained, to the last tensor."""

import pytest
import safetensors.torch
import timm
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from amask_solo.checkpoints.export import export_backbone
from amask_solo.checkpoints.networks import (
    Shown,
    config_of,
    data_settings,
    load_backbone,
    load_masker,
    load_teacher,
    pick_device,
)
from amask_solo.checkpoints.read import read
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone, fit_size
from amask_solo.hosts.exported import fingerprint
from amask_solo.hosts.installed import load_host
from amask_solo.masked.method import wrap
from tests.tiny import tiny_cfg

VIT = {"name": "vit_tiny", "kwargs": {"img_size": 32, "patch_size": 8}}
MAX_POOLED = {"name": "vit_tiny", "kwargs": {**VIT["kwargs"], "global_pool": "max"}}
SMALL_STEM = {"data.dataset": "cifar10"}
OF_TIMM = {
    "narrow": {"backbone": {"name": "timm/resnet18", "kwargs": {"channels": [16, 16, 16, 32]}}, **SMALL_STEM},
    "deep stem": {"backbone": {"name": "timm/resnet10t", "kwargs": {"channels": [16, 16, 16, 32]}}, **SMALL_STEM},
    "vit": {"backbone": {"name": "timm/test_vit", "kwargs": {"img_size": 32, "global_pool": "map"}}},
    "of no known family": {"backbone": {"name": "timm/mobilenetv3_small_050"}},
}
OWN_VITS = sorted({"mae", "mocov3"} & set(load_host().methods()))


def images(size: int, number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(number))


@torch.no_grad()
def taught(model: nn.Module, host, size: int) -> nn.Module:
    """Return the method's backbone with BatchNorm statistics that are not those of a fresh one."""
    backbone = getattr(model, host.backbone)
    backbone.train()(images(size, 4))
    return backbone.eval()


@pytest.fixture(scope="module")
def resnet(build, host):
    model = build("byol")
    taught(model, host, 32)
    return model


@pytest.mark.parametrize(
    ("method", "settings", "size"),
    [
        ("byol", {}, 64),
        ("byol", {"data.dataset": "cifar10"}, 16),
        ("byol", {"backbone": VIT}, 32),
        ("byol", {"backbone": {"name": "vit_tiny", "kwargs": {**VIT["kwargs"], "global_pool": "avg"}}}, 32),
        ("byol", {"backbone": {"name": "swin_tiny", "kwargs": {"img_size": 64}}}, 64),
        *((method, {"backbone": VIT}, 32) for method in OWN_VITS),
    ],
    ids=["large stem", "small stem", "vit", "vit with mean pooling", "swin", *OWN_VITS],
)
def test_the_features_are_those_of_the_hosts_backbone(method, settings, size, build, host):
    model = build(method, **settings)
    trained = taught(model, host, size)
    backbone, arch = load_backbone({"state_dict": model.state_dict()}, image_size=size)
    assert arch == model.cfg.backbone.name
    assert not any(module.training for module in backbone.modules())
    with torch.no_grad():
        features = backbone(images(size))
        torch.testing.assert_close(features, trained(images(size)))
        assert features.shape == (2, backbone.num_features)
        assert backbone.maps(images(size)).shape[1] == backbone.num_features


def saved(model: nn.Module) -> dict:
    """Return the checkpoint that the plugin writes of a method."""
    checkpoint = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.mark.parametrize("settings", [*OF_TIMM.values(), {"backbone": MAX_POOLED}], ids=[*OF_TIMM, "max pooling"])
def test_what_no_tensor_tells_is_known_to_a_checkpoint_and_to_its_exports(settings, build, host, tmp_path):
    model = build("byol", **settings)
    trained = taught(model, host, 32)
    checkpoint = saved(model)
    exports = [
        export_backbone(checkpoint, tmp_path / name, format=target).path
        for target, name in (("timm", "a.pth"), ("safetensors", "b.safetensors"))
    ]
    with torch.no_grad():
        expected = trained(images(32))
        for source in (checkpoint, *exports):
            backbone, arch = load_backbone(source)
            assert arch == settings["backbone"]["name"]
            torch.testing.assert_close(backbone(images(32)), expected)
            assert backbone.num_features == expected.shape[1]
            assert backbone.maps(images(32)).ndim == 4
    # An export of an export has all that is known as well.
    again = export_backbone(exports[0], tmp_path / "c.safetensors", format="safetensors")
    assert load_backbone(again.path)[1] == arch


def test_what_somebody_elses_json_says_is_not_believed(resnet, tmp_path):
    path = export_backbone({"state_dict": resnet.state_dict()}, tmp_path / "b.pth", format="timm").path
    lies = ('{"arch": "vit_tiny"}', '{"arch": 5, "format": "timm"}', '{"arch": "unknown", "format": ""}')
    for text in ("[]", "{}", *lies):
        path.with_suffix(".json").write_text(text)
        assert load_backbone(path)[1] == "resnet18"


def test_the_user_knows_better_what_a_backbone_is(build):
    checkpoint = saved(build("byol"))
    assert load_backbone(checkpoint, "timm/resnet18")[1] == "timm/resnet18"
    with pytest.raises(UserError, match="no 'timm/resnet34'"):
        load_backbone(checkpoint, "timm/resnet34")
    with pytest.raises(UserError, match="did you mean 'timm/resnet18'"):
        load_backbone(checkpoint, "timm/resnet81")


@pytest.mark.parametrize("lie", [{"backbone": "timm/load_checkpoint"}, {"backbone": 5}, {"backbone_kwargs": 5}])
def test_a_checkpoint_that_lies_about_its_backbone_calls_nothing_else(lie, build):
    checkpoint = saved(build("byol"))
    checkpoint["amask_host"] |= lie
    if lie.get("backbone") == "timm/load_checkpoint":
        with pytest.raises(UserError, match="timm has no model 'load_checkpoint'"):
            load_backbone(checkpoint)
    else:
        assert load_backbone(checkpoint)[1] == "resnet18"


@pytest.mark.parametrize("prefix", ["encoder.", "backbone."])
def test_checkpoints_of_either_generation_are_read_from_their_files(prefix, resnet, host, tmp_path):
    own = getattr(resnet, host.backbone).state_dict()
    state = {f"{prefix}{name}": value for name, value in own.items()}
    state |= {f"momentum_{name}": torch.zeros_like(value) for name, value in state.items()}
    torch.save({"state_dict": {**state, "projector.0.weight": torch.ones(2)}}, tmp_path / "byol-ep=1.ckpt")
    loaded = load_backbone(tmp_path / "byol-ep=1.ckpt")[0].model.state_dict()
    assert loaded.keys() == own.keys()
    assert all(loaded[name].equal(own[name]) for name in own)


@pytest.mark.parametrize(
    ("target", "name"), [("timm", "b.pth"), ("torchvision", "b.pth"), ("safetensors", "b.safetensors")]
)
def test_an_exported_backbone_is_the_same(target, name, resnet, tmp_path):
    source = {"state_dict": resnet.state_dict()}
    path = export_backbone(source, tmp_path / name, format=target).path
    backbone, arch = load_backbone(path)
    assert arch == "resnet18"
    with torch.no_grad():
        assert backbone(images(32)).equal(load_backbone(source)[0](images(32)))


def test_a_localiser_of_the_run_gets_its_teacher_or_its_only_backbone(resnet, host):
    state = dict(resnet.state_dict())
    teacher = load_teacher({"state_dict": state}, "resnet18").model.state_dict()
    assert all(state[f"{host.momentum_backbone}.{name}"].equal(value) for name, value in teacher.items())
    alone = {name: value for name, value in state.items() if not name.startswith("momentum")}
    only = load_teacher({"state_dict": alone}, "resnet18").model.state_dict()
    assert all(state[f"{host.backbone}.{name}"].equal(value) for name, value in only.items())
    assert not teacher["bn1.running_mean"].equal(only["bn1.running_mean"])


def test_loading_leaves_the_random_numbers_alone(resnet):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_backbone({"state_dict": resnet.state_dict()})
    assert torch.rand(2).equal(expected)


def test_no_tensor_of_a_backbone_is_an_error():
    with pytest.raises(UserError, match="No tensor of the checkpoint belongs to a backbone"):
        load_backbone({"state_dict": {"projector.0.weight": torch.ones(2)}})


@pytest.mark.parametrize("arch", [None, "resnet18"])
@pytest.mark.parametrize("change", ["missing", "shape", "more"])
def test_a_partial_match_is_an_error_that_names_the_tensor(change, arch, resnet, host):
    state, name = dict(resnet.state_dict()), f"{host.backbone}.layer3.0.conv2.weight"
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = state[name][:-1]
    else:
        name = f"{host.backbone}.layer3.0.conv7.weight"
        state[name] = torch.ones(1)
    with pytest.raises(UserError, match=r"no 'resnet18': 1 tensors do not fit, first 'layer3\.0\.conv"):
        load_backbone({"state_dict": state}, arch)


@pytest.mark.parametrize(
    ("arch", "message"),
    [("resnet50", "no 'resnet50'"), ("resnet19", "did you mean 'resnet18'"), ("vit_tiny", "no 'vit")],
)
def test_a_wrong_name_is_an_error(arch, message, resnet):
    with pytest.raises(UserError, match=message):
        load_backbone({"state_dict": resnet.state_dict()}, arch)


def test_a_backbone_that_nobody_knows_is_an_error():
    with pytest.raises(UserError, match=r"Cannot build the backbone 'unknown'.*resnet18"):
        load_backbone({"state_dict": {"backbone.odd.weight": torch.ones(2)}})


def test_the_positions_of_a_vit_are_resampled_for_images_of_another_size(build):
    state = build("byol", backbone=VIT).state_dict()
    backbone, larger = (load_backbone({"state_dict": state})[0] for _ in range(2))
    assert fit_size(backbone, 32) is None
    assert fit_size(larger, 64) == 32
    prefix, grid = larger.model.pos_embed.split([1, 64], dim=1)
    own = backbone.model.pos_embed[:, 1:].unflatten(1, (4, 4)).movedim(-1, 1)
    wanted = F.interpolate(own, size=(8, 8), mode="bicubic", antialias=True).movedim(1, -1).flatten(1, 2)
    assert prefix.equal(backbone.model.pos_embed[:, :1])
    torch.testing.assert_close(grid, wanted)
    # Nothing but the positions has changed, and pictures that only became larger are still much the same.
    small = images(32)
    with torch.no_grad():
        first, second = backbone(small), larger(F.interpolate(small, scale_factor=2))
    assert first.shape == second.shape
    assert all(
        v.equal(larger.model.state_dict()[k]) for k, v in backbone.model.state_dict().items() if k != "pos_embed"
    )


def test_a_swin_says_which_images_it_takes():
    backbone = Backbone(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=56, window_size=7))
    with pytest.raises(UserError, match=r"data\.image_size=56"):
        fit_size(backbone, 112)


def test_a_network_of_timms_says_which_images_it_does_not_take(build):
    backbone, _ = load_backbone(saved(build("byol", backbone={"name": "timm/coat_tiny", "kwargs": {"img_size": 32}})))
    fit_size(backbone, 32)
    with pytest.raises(UserError, match=r"does not take images of 64 px .*data\.image_size"):
        fit_size(backbone, 64)


# ---------------------------------------------------------------------- maskers

MASKERS = {
    "learned": {"masker": {"name": "sequential", "num_masks": 2}},
    "random": {"masker": "random_block"},
}


@pytest.mark.parametrize("kind", MASKERS)
def test_the_masker_of_a_run_makes_the_same_masks(kind):
    cfg = tiny_cfg("amask_byol", adversary=MASKERS[kind])
    torch.manual_seed(5)
    model = wrap(load_host().stock("byol"))(cfg)
    with torch.no_grad():
        for value in model.adversary.parameters():
            value.add_(torch.randn_like(value), alpha=0.1)
    masker = load_masker({"state_dict": model.state_dict()}, cfg)
    assert masker is not model.adversary.masker
    assert not masker.training
    drawn = [
        one.eval()(images(32), generator=torch.Generator().manual_seed(0)) for one in (masker, model.adversary.masker)
    ]
    assert drawn[0].equal(drawn[1])
    assert drawn[0].std() > 0


def test_masks_that_add_up_are_evaluated_as_the_encoder_was_shown_them():
    cfg = tiny_cfg("amask_byol", adversary={"masker": {"name": "sequential", "num_masks": 2}, "apply": "cumulative"})
    model = wrap(load_host().stock("byol"))(cfg)
    first, both = load_masker({"state_dict": model.state_dict()}, cfg)(images(32)).unbind(dim=1)
    one, two = model.adversary.masker.eval()(images(32)).unbind(dim=1)
    torch.testing.assert_close(first, one)
    torch.testing.assert_close(both, 1 - (1 - one) * (1 - two))


def test_a_stock_run_has_no_masker(resnet):
    assert load_masker({"state_dict": resnet.state_dict()}, tiny_cfg("byol")) is None
    assert load_masker({"state_dict": resnet.state_dict()}, None) is None


def test_a_masker_that_nobody_describes_is_an_error():
    with pytest.raises(UserError, match=r"config\.yaml would describe it"):
        load_masker({"state_dict": {"adversary.game.masker.weight": torch.ones(1)}}, None)


@pytest.mark.parametrize("state", [{}, {"adversary.game.masker.odd": torch.ones(1)}])
def test_a_masker_that_does_not_fit_is_an_error(state):
    with pytest.raises(UserError, match=r"not the one that config\.yaml describes"):
        load_masker({"state_dict": {**state, "other": torch.ones(1)}}, tiny_cfg("amask_byol"))


# ---------------------------------------------------------------------- what belongs to a checkpoint


def test_the_configuration_is_that_of_the_run_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert config_of(tmp_path / "checkpoints" / "last.ckpt") is None
    OmegaConf.save({"method": "byol", "data": {"image_size": 32}}, tmp_path / "config.yaml")
    assert config_of(tmp_path / "checkpoints" / "best.ckpt").method == "byol"
    assert config_of(tmp_path / "elsewhere.ckpt") is None
    for text in ("a: [", "method: byol"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"config\.yaml"):
            config_of(tmp_path / "checkpoints" / "last.ckpt")


def test_the_images_are_those_of_the_run_unless_others_are_given():
    run = OmegaConf.create({"data": {"_target_": "amask_solo.data.make_shapes", "image_size": 32, "num_val": 8}})
    other = OmegaConf.create({"_target_": "amask_solo.data.load_cifar10", "root": "data"})
    assert data_settings(None, run) == run.data
    assert data_settings(OmegaConf.create({"num_val": 4}), run) == {**run.data, "num_val": 4}
    assert data_settings(other, run) == other
    assert data_settings(other, None) == other
    with pytest.raises(UserError, match=r"give data=\.\.\."):
        data_settings(OmegaConf.create({}), None)
    with pytest.raises(UserError, match="did you mean 'num_val'"):
        data_settings(OmegaConf.create({"num_vall": 4}), run)


def test_a_fingerprint_tells_states_apart(tmp_path):
    state = {"a": torch.ones(2, 3), "b": torch.tensor(4, dtype=torch.int64), "c": torch.ones(2, dtype=torch.bfloat16)}
    mark = fingerprint(state)
    safetensors.torch.save_file(state, tmp_path / "same.safetensors")
    assert fingerprint(read(tmp_path / "same.safetensors")["state_dict"]) == mark
    for name, value in state.items():
        assert fingerprint({**state, name: value + 1}) != mark


def test_a_device_that_is_not_there_is_an_error():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=f"device={name} is not there"):
            pick_device(name)


@pytest.mark.parametrize("masker", ["saliency_channels", "sequential"])
def test_a_masker_that_is_loaded_says_whether_its_masks_are_those_of_the_channels(masker):
    cfg = tiny_cfg("simclr", adversary=OmegaConf.create({"masker": {"name": masker}}))
    model = wrap(load_host().stock("simclr"))(cfg)
    assert Shown(model.adversary.game).channelwise is (masker == "saliency_channels")
