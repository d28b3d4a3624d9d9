"""A localiser looks through the method's own backbone and leaves no trace."""

from copy import deepcopy

import pytest
import torch

from amask_solo.errors import UserError
from amask_solo.hosts.architectures import feature_map
from amask_solo.hosts.installed import load_host
from amask_solo.masked.clean_view import in_memory_format
from amask_solo.masked.loss import Step
from tests.players import METHODS, attach, batch_of, build, fit

pytestmark = pytest.mark.host
SALIENCY = {"name": "saliency"}
VIT = {"name": "vit_tiny", "kwargs": {"img_size": 64, "patch_size": 16}}
CASES = [
    pytest.param("simclr", None, id="resnet"),
    pytest.param("mocov2plus", None, id="resnet and teacher"),
    pytest.param("byol", VIT, id="vit and teacher"),
    *([pytest.param("mocov3", VIT, id="the host's own vit")] if "mocov3" in METHODS else ()),
]


def masked(name, backbone=None, **overrides):
    return build(name, SALIENCY, **({"backbone": backbone} if backbone else {}), **overrides)


def views(batch=2):
    return batch_of(batch, 64)[1][1]


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_a_look_leaves_no_trace(name, backbone):
    model = masked(name, backbone)
    next(model.modules()).train()
    getattr(model, load_host().backbone).eval()  # some layers may be frozen
    before = {key: value.clone() for key, value in model.state_dict().items()}
    training, random = modes(model), torch.get_rng_state()
    images = views().requires_grad_()
    maps = model.look(images)
    assert (maps.ndim, len(maps), maps.requires_grad) == (4, 2, False)
    assert maps.shape[-2:].numel() > 1
    assert model.adversary.masker(images, generator=torch.Generator()).shape == (2, 1, 64, 64)
    assert modes(model) == training
    assert torch.equal(torch.get_rng_state(), random)
    assert images.grad is None
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_the_adversary_does_not_own_the_backbone(name, backbone):
    model = masked(name, backbone)
    assert not list(model.adversary.parameters())
    assert not model.adversary.state_dict()
    assert set(model.state_dict()) == set(build(name, **({"backbone": backbone} if backbone else {})).state_dict())


def test_it_is_the_teacher_that_is_looked_through():
    model = masked("byol")
    online, teacher = (getattr(model, name) for name in (load_host().backbone, load_host().momentum_backbone))
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.zero_()
    assert model.look(views()).abs().sum() > 0
    assert torch.equal(model.look(views()), feature_map(teacher, views()))


def test_the_map_is_what_the_backbone_pools():
    model = masked("simclr")
    backbone = getattr(model, load_host().backbone).eval()
    with torch.no_grad():
        torch.testing.assert_close(model.look(views()).mean(dim=(2, 3)), backbone(views()))


def test_a_blob_on_the_left_is_found_on_the_left():
    images = torch.zeros(2, 3, 128, 128)
    images[..., 48:80, 4:36] = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for backbone in (None, {"name": "vit_tiny", "kwargs": {"img_size": 128, "patch_size": 16}}):
        localiser = masked("simclr", backbone).adversary.masker.localiser
        left, right = (localiser(view)[..., :2].mean() for view in (images, images.flip(-1)))
        assert left > right


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_a_look_waits_for_no_device(name, backbone):
    """Tensors on ``meta`` have no numbers that one could wait for."""
    model = masked(name, backbone).to("meta")
    masks = model.adversary.masker(torch.randn(2, 3, 64, 64, device="meta"))
    assert (masks.shape, masks.device.type) == ((2, 1, 64, 64), "meta")


def test_a_copy_of_the_method_looks_through_its_own_backbone():
    model = masked("simclr")
    copied = deepcopy(model)
    with torch.no_grad():
        next(getattr(copied, load_host().backbone).parameters()).zero_()
    first, second = (m.adversary.masker.localiser(views()) for m in (model, copied))
    assert not torch.equal(first, second)


def test_while_clean_views_are_remembered_the_map_is_still_that_of_the_last_stage():
    model = masked("byol")
    attach(model)
    batch = in_memory_format(model, batch_of(2, 64))
    with model._loss(Step(batch, 0), loud_call=1) as loss:
        for cache in loss.caches:
            cache.view(1)
        assert model.look(batch[1][1]).shape[-2:] == (2, 2)


@pytest.mark.parametrize(("name", "backbone"), CASES[1:3])
def test_a_step_hides_what_the_teacher_points_at_and_trains(name, backbone):
    model = masked(name, backbone)
    attach(model)
    model.training_step(batch_of(4, 64), 0).backward()
    areas = model.step.turn.masks.mean(dim=(1, 2, 3))
    assert ((areas > 0.02) & (areas < 0.3)).all()
    assert any(p.grad is not None for p in getattr(model, load_host().backbone).parameters())


def test_views_too_small_for_a_map_end_the_run_with_the_remedy():
    with pytest.raises(UserError, match="one pixel of views of 32 px"):
        fit(masked("simclr"), batches=1, epochs=1, limit_val_batches=0)


def test_a_localiser_may_be_named_or_described():
    for chosen in ("everywhere", {"_target_": "amask_solo.localisers.Everywhere"}):
        model = build("simclr", {"name": "saliency", "localiser": chosen, "grid": 4})
        assert type(model.adversary.masker.localiser).__name__ == "Everywhere"
    focal = build("simclr", {"name": "saliency_focal"}).adversary.masker
    assert torch.equal(focal.masker.localiser(views()), build("simclr", SALIENCY).adversary.masker.localiser(views()))
    with pytest.raises(UserError, match="did you mean 'everywhere'"):
        build("simclr", {"name": "saliency", "localiser": "everwhere"})


def test_a_backbone_without_maps_is_refused():
    with pytest.raises(UserError, match="Sequential shows no map"):
        feature_map(torch.nn.Sequential(torch.nn.Flatten()), views())


def test_a_handover_knows_the_epoch_of_the_run():
    handover = {
        "_target_": "amask_solo.localisers.Handover",
        "first": {"_target_": "amask_solo.localisers.Everywhere"},
        "then": {"_target_": "amask_solo.localisers.SpectralResidual"},
        "epochs": 1,
    }
    model = build("simclr", {"name": "saliency", "localiser": handover, "grid": 4})
    seen = []
    localiser = model.adversary.masker.localiser
    localiser.then.register_forward_hook(lambda *_: seen.append(model.current_epoch))
    fit(model, batches=2, epochs=3)
    assert set(seen) == {1, 2}
