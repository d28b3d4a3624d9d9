"""The host behind its interface: what it offers, what it accepts, what it refuses."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import METHODS as ROWS
from tests.tiny import METHOD_KWARGS, tiny_cfg

METHODS = sorted(load_host().methods())


def test_the_generation_has_the_methods_that_it_is_known_for(host):
    absent = {name for name, row in ROWS.items() if row.only_current and host.generation == "release"}
    assert set(METHODS) == set(ROWS) - absent


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_built_from_the_required_keys_alone(host, method):
    cfg = tiny_cfg(method)
    cfg.optimizer.pop("kwargs")
    cfg.scheduler = {"name": "none"}
    cfg.momentum = {}
    model = host.stock(method)(cfg)
    assert model.cfg is cfg
    assert cfg.scheduler.warmup_epochs == 10  # defaults are written into the cfg, as the host does
    assert hasattr(model, host.backbone)
    assert hasattr(model, host.momentum_backbone) == ("momentum" in host.methods()[method].__mro__[1].__name__.lower())
    assert model.extra_optimizer_args == {}


def test_a_missing_host_says_how_to_install_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "solo", None)
    with pytest.raises(UserError, match=r"pip install --no-deps solo-learn==1\.0\.2"):
        load_host.__wrapped__()


def test_a_host_that_does_not_import_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "solo.methods", None)
    with pytest.raises(UserError, match=r"does not import: import of solo\.methods halted"):
        load_host.__wrapped__()


def test_no_other_package_sees_the_stand_ins(host):
    assert "pl_bolts" not in sys.modules
    assert sys.modules.get("pytorch_lightning") is not sys.modules["lightning.pytorch"]


def test_adapting_twice_changes_nothing(host):
    adapted = host.stock("byol")
    assert host.adapt(adapted) is adapted
    assert host.adapt(host.methods()["byol"]) is adapted
    assert issubclass(adapted, host.methods()["byol"])


def test_the_host_itself_is_left_as_it_was(host):
    base = host.methods()["byol"]
    host.adapt(base)
    assert not hasattr(base, "add_knn")
    assert host.methods()["byol"] is base


def test_only_a_method_of_the_host_can_be_adapted(host):
    with pytest.raises(UserError, match=r"Expected a subclass of solo\.methods\.base"):
        host.adapt(torch.nn.Linear)


def test_an_unknown_method_names_the_closest_one(host):
    with pytest.raises(UserError, match="did you mean 'simclr'"):
        host.stock("simclrr")


def test_a_method_of_the_other_generation_says_where_it_is(host):
    if host.generation == "current":
        pytest.skip("the current host has them all")
    with pytest.raises(UserError, match="GitHub"):
        host.stock("mocov3")


def test_an_unknown_backbone_names_the_closest_one(build):
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        build("byol", **{"backbone.name": "resnet81"})


@pytest.mark.parametrize("key", ["method_kwargs.temperature", "optimizer.classifier_lr"])
def test_a_missing_key_is_named(host, key):
    cfg = tiny_cfg("simclr")
    OmegaConf.select(cfg, key.rpartition(".")[0]).pop(key.rpartition(".")[2])
    with pytest.raises(UserError, match=key.rpartition(".")[2]):
        host.stock("simclr")(cfg)


def test_dino_refuses_a_warmup_longer_than_the_training(build):
    with pytest.raises(UserError, match="at most max_epochs=2"):
        build("dino", **{"method_kwargs.warmup_teacher_temperature_epochs": 3})


def test_a_cfg_in_struct_mode_stays_in_it(host):
    cfg = tiny_cfg("byol")
    OmegaConf.set_struct(cfg, True)
    host.stock("byol")(cfg)
    assert OmegaConf.is_struct(cfg)


def test_a_momentum_method_needs_no_momentum_node(host):
    cfg = tiny_cfg("byol")
    cfg.pop("momentum")
    assert host.stock("byol")(cfg).momentum_updater.base_tau == 0.99


def test_the_cifar_stem_is_built_for_cifar(build, host):
    backbone = getattr(build("simclr", **{"data.dataset": "cifar10"}), host.backbone)
    assert backbone.conv1.kernel_size == (3, 3)
    backbone = getattr(build("simclr"), host.backbone)
    assert backbone.conv1.kernel_size == (7, 7)


def test_settings_of_the_cfg_reach_the_method(build):
    model = build("nnclr", **{"method_kwargs.queue_size": 24, "accumulate_grad_batches": 2})
    assert model.queue.shape[0] == 24
    assert model.lr == pytest.approx(0.02)
    assert model.temperature == 0.2


def test_a_users_own_subclass_is_adapted_like_a_method(host):
    class Quieter(host.methods()["simsiam"]):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) / 2

    cfg = tiny_cfg(
        "my_own",
        method_kwargs=METHOD_KWARGS["simsiam"] | {"proj_hidden_dim": 8, "proj_output_dim": 8},
    )
    model = host.adapt(Quieter)(cfg)
    assert isinstance(model, Quieter)
    assert cfg.method == "my_own"


def test_the_masked_name_gets_the_vit_of_its_base_method(host):
    if "mocov3" not in METHODS:
        pytest.skip("only the current host has a ViT of its own for a method")
    vit = {"backbone": {"name": "vit_tiny", "kwargs": {"img_size": 32, "patch_size": 16}}}
    cfg = tiny_cfg("amask_mocov3", **vit)
    backbone = host.stock("mocov3")(cfg).backbone
    assert type(backbone).__name__ == "VisionTransformerMoCo"
    assert cfg.method == "amask_mocov3"
