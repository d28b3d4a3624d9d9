"""Backbones of timm's in place of the host's own."""

import sys

import pytest
import timm
import torch
import torchvision
from timm.models import resnet
from torch import nn

from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import Blueprint, blueprint
from amask_solo.hosts.names import TIMM_RESNETS, is_resnet, patch_size, timm_models
from amask_solo.hosts.repairs import STATE
from amask_solo.hosts.timm_backbones import build_backbone, has_fixed_size, try_views
from tests.players import METHODS, NothingHidden, OneConvolution, build, fit, masker_node
from tests.tiny import tiny_cfg, tiny_loaders, tiny_trainer

NARROW = {"name": "timm/resnet18", "kwargs": {"channels": [16, 16, 16, 32], "layers": [1, 1, 1, 1]}}
VIT = {"name": "timm/test_vit", "kwargs": {"img_size": 32, "embed_dim": 32, "depth": 1}}


def images(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def made(name: str, small_stem: bool = False, **kwargs) -> nn.Module:
    with torch.device("meta"):
        return build_backbone(Blueprint(name, kwargs, small_stem))


# ---------------------------------------------------------------------- what timm has


def test_the_names_in_the_source_are_those_that_timm_has():
    # The hosts register functions of their own in timm, the current one under some of timm's names.
    own = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("timm.")}
    assert own <= timm_models().keys()
    for name in timm_models().keys() - own:
        assert callable(getattr(sys.modules[f"timm.models.{timm_models()[name]}"], name))


def test_the_resnets_are_those_of_the_modules_that_have_the_class():
    sources = {module: vars(sys.modules[f"timm.models.{module}"]) for module in timm_models().values()}
    assert {module for module, source in sources.items() if source.get("ResNet") is resnet.ResNet} == set(TIMM_RESNETS)
    for name in ("resnet18", "res2net50d", "resnest14d", "skresnet18", "seresnet18"):
        assert is_resnet(f"timm/{name}")
        assert isinstance(made(f"timm/{name}", small_stem=True), resnet.ResNet)
    assert not any(is_resnet(f"timm/{name}") for name in ("resnetv2_18", "legacy_seresnet18", "nowhere"))


@pytest.mark.parametrize(
    "name", ["test_vit", "deit_tiny_patch16_224", "eva02_tiny_patch14_224", "vit_xsmall_patch16_clip_224"]
)
def test_the_patches_of_a_vit_are_those_that_it_is_built_with(name):
    assert made(f"timm/{name}").patch_embed.patch_size == (patch_size(f"timm/{name}"),) * 2


def test_only_a_vit_with_a_single_grid_has_patches():
    names = ("timm/resnet18", "timm/swin_tiny_patch4_window7_224", "timm/nowhere", "resnet18")
    assert [patch_size(name) for name in names] == [None] * 4
    assert patch_size("vit_tiny") == 16


def test_transformers_are_built_for_one_size_and_others_are_not():
    assert [has_fixed_size(f"timm/{name}") for name in ("test_vit", "resnet18.a1_in1k")] == [True, False]


# ---------------------------------------------------------------------- the networks


@pytest.mark.parametrize("dataset", ["tiny", "cifar10"], ids=["large stem", "small stem"])
def test_timms_resnet18_is_the_hosts_to_the_last_tensor(dataset, host):
    settings = {"data.dataset": dataset}
    both = [tiny_cfg("simclr", **settings, backbone={"name": name}) for name in ("resnet18", "timm/resnet18")]
    theirs, ours = (getattr(host.stock("simclr")(cfg), host.backbone).eval() for cfg in both)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(images()), theirs(images()))


def test_half_of_the_channels_are_a_quarter_of_the_parameters():
    half = made("timm/resnet18", small_stem=True, channels=[32, 64, 128, 256])
    assert half.num_features == 256
    assert sum(p.numel() for p in half.parameters()) == 2_807_296
    assert half.conv1.stride == (1, 1)
    assert half.layer4[0].conv1.weight.shape == (256, 128, 3, 3)


def test_the_small_stem_of_three_convolutions_keeps_the_size_of_the_images():
    small, large = (build_backbone(Blueprint("timm/resnet10t", {}, small)).eval() for small in (True, False))
    first = [model.forward_intermediates(images(), intermediates_only=True)[0] for model in (small, large)]
    assert [maps.shape[-1] for maps in first] == [32, 16]
    assert small.state_dict().keys() == large.state_dict().keys()


def test_the_small_stem_is_for_resnets_alone(host):
    cfg = tiny_cfg("simclr", backbone=VIT, **{"data.dataset": "cifar10"})
    assert not blueprint(cfg).small_stem
    assert blueprint(tiny_cfg("simclr", backbone=NARROW, **{"data.dataset": "cifar10"})).small_stem


def test_the_features_are_as_long_as_what_the_network_makes(host):
    # In timm, `num_features` of this network is the width before its last layer.
    model = build("simclr", backbone={"name": "timm/mobilenetv3_small_050"})
    assert getattr(model, host.backbone)(images()).shape == (2, model.features_dim)


# ---------------------------------------------------------------------- methods


@pytest.mark.host
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_with_one(method, host):
    model = build(method, backbone=NARROW)
    backbone, teacher = getattr(model, host.backbone), getattr(model, host.momentum_backbone, None)
    assert isinstance(backbone, resnet.ResNet)
    assert (model.features_dim, model.cfg.backbone) == (32, NARROW)
    if teacher is not None:
        assert all(a.equal(b) for a, b in zip(teacher.parameters(), backbone.parameters(), strict=True))
    before = backbone.conv1.weight.clone()
    fit(model, batches=1, epochs=1, limit_val_batches=0)
    assert not backbone.conv1.weight.equal(before)


@pytest.mark.host
@pytest.mark.parametrize(("method", "network"), [("byol", NARROW), ("simclr", VIT)])
def test_with_masks_of_zero_the_method_is_the_stock_method(method, network):
    settings = {"backbone": network, "adversary.draw": "all"}
    stock, masked = build(method, backbone=network), build(method, masker_node(NothingHidden, num_masks=2), **settings)
    for model in (stock, masked):
        fit(model)
    expected = stock.state_dict()
    for key, value in masked.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.host
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path):
    def half_done(trainer, _model):
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(tmp_path / "half.ckpt")

    whole, resumed = (build("byol", masker_node(OneConvolution), backbone=NARROW) for _ in range(2))
    whole.on_train_epoch_end = lambda: half_done(whole.trainer, whole)
    fit(whole)
    tiny_trainer().fit(resumed, *tiny_loaders(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_a_resnet_of_timms_gets_the_projector_that_moco_v3_gives_to_resnets(host):
    if "mocov3" not in METHODS:
        pytest.skip("only the current host has it")
    expected, resnet18, vit = (build("mocov3", backbone=b) for b in ({"name": "resnet18"}, NARROW, VIT))
    assert [len(model.projector) for model in (resnet18, vit)] == [len(expected.projector), 8]


def test_the_host_is_left_as_it_was(host):
    build("byol", backbone=NARROW)
    model = build("byol")
    assert isinstance(getattr(model, host.backbone), torchvision.models.ResNet)
    assert "timm/resnet18" not in getattr(host.base, "_BACKBONES", getattr(host.base, "_SUPPORTED_ENCODERS", ()))


def test_a_checkpoint_says_what_the_network_was_built_from(host):
    kwargs = {**NARROW["kwargs"], "drop_path_rate": 0.1}
    model = build("byol", backbone={"name": "timm/resnet18", "kwargs": kwargs}, **{"data.dataset": "cifar10"})
    checkpoint = {"state_dict": {}}
    model.on_save_checkpoint(checkpoint)
    saved = checkpoint[STATE]
    assert (saved["backbone"], saved["backbone_kwargs"], saved["small_stem"]) == ("timm/resnet18", kwargs, True)


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ({"name": "timm/resnet81"}, "did you mean 'timm/resnet18'"),
        ({"name": "timm/"}, r"list_models\(\)"),
        ({"name": "resnet34"}, "If timm has it, then give backbone.name=timm/resnet34"),
        ({"name": "timm/resnet18.nowhere"}, "nowhere"),
        ({"name": "timm/resnet18", "kwargs": {"chanels": [1]}}, "'chanels'"),
        ({"name": "timm/resnet18", "kwargs": {"channels": 5}}, "timm cannot build timm/resnet18"),
        *(({"name": "timm/resnet18", "kwargs": {key: 1}}, key) for key in ("num_classes", "in_chans", "features_only")),
        ({"name": "timm/resnet18", "kwargs": [1]}, "keys below it"),
        (
            {"name": "timm/test_vit4", "kwargs": {"pretrained": True}},
            "which failed .* init=PATH",
        ),
    ],
    ids=str,
)
def test_what_timm_does_not_build_is_an_error(backbone, words):
    with pytest.raises(UserError, match=words):
        build("simclr", backbone=backbone)


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("timm/inception_v3", {}, "does not take views of 32 px"),
        ("timm/vit_tiny_patch16_224", {"img_size": 64}, "does not take views of 32 px"),
        ("timm/resnet18", {"global_pool": ""}, r"makes \(2, 512, 1, 1\) of 2 views"),
    ],
)
def test_a_network_that_makes_no_vector_of_the_views_is_an_error(name, kwargs, words):
    with pytest.raises(UserError, match=words):
        try_views(Blueprint(name, kwargs), [32])


def test_to_try_views_draws_no_random_number_and_downloads_nothing():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    try_views(Blueprint("timm/resnet18", {**NARROW["kwargs"], "pretrained": True}), [32, 64])
    assert torch.rand(1).equal(expected)
