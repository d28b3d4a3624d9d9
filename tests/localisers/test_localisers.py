"""What each localiser finds."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from amask_solo.checkpoints.export import export_backbone
from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.repairs import STATE
from amask_solo.hosts.timm_backbones import build_backbone
from amask_solo.localisers import (
    BackboneMap,
    Everywhere,
    Handover,
    Shared,
    SpectralResidual,
    Weights,
    lend_backbone,
    lend_clock,
    lend_localiser,
)
from tests.localisers.exported import export


def blob(column: int, *, size: int = 64, batch: int = 2) -> torch.Tensor:
    """Images of faint noise with a blob of loud noise, whose left edge is at a column."""
    draw = torch.Generator().manual_seed(0)
    images = 0.1 * torch.randn(batch, 3, size, size, generator=draw)
    images[..., 24:40, column : column + 16] = 2 * torch.randn(batch, 3, 16, 16, generator=draw)
    return images


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return Weights(str(export(tmp_path_factory.mktemp("weights"))))


@pytest.mark.parametrize("name", ["weights", "spectral_residual"])
def test_a_blob_on_the_left_is_found_on_the_left(name, weights):
    localiser = weights if name == "weights" else SpectralResidual()
    for column in (4, 44):
        maps = localiser(blob(column))
        half = maps.shape[-1] // 2
        left, right = maps[..., :half].mean(dim=(1, 2, 3)), maps[..., half:].mean(dim=(1, 2, 3))
        assert ((left > 1.2 * right) == (column == 4)).all()
        assert ((right > 1.2 * left) == (column == 44)).all()


def test_the_spectral_residual_is_the_published_formula():
    image = np.random.default_rng(0).normal(size=(24, 32))
    spectrum = np.fft.fft2(image)
    log = np.log(np.abs(spectrum))
    residual = log - uniform_filter(log, 3, mode="wrap")
    expected = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    images = torch.from_numpy(image).float().expand(1, 3, -1, -1)
    found = SpectralResidual(sigma=1e-3)(images)[0, 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-6)


def test_the_smoothed_map_keeps_its_sum_and_loses_its_peaks():
    rough, smooth = (SpectralResidual(sigma=sigma)(blob(4)) for sigma in (1e-3, 2.5))
    torch.testing.assert_close(rough.mean(dim=(2, 3)), smooth.mean(dim=(2, 3)))
    assert smooth.amax() < rough.amax() / 2


@pytest.mark.parametrize("target", ["timm", "safetensors"])
def test_weights_of_every_format_make_the_same_maps(target, weights, tmp_path):
    assert Weights(str(export(tmp_path, target=target)))(blob(4)).equal(weights(blob(4)))


def test_a_vit_looks_at_images_of_another_size_than_those_of_its_training(tmp_path):
    plan = Blueprint("timm/vit_tiny_patch16_224", {"img_size": 64, "patch_size": 8, "depth": 1})
    torch.save(build_backbone(plan).state_dict(), tmp_path / "vit.pth")
    localiser = Weights(str(tmp_path / "vit.pth"), arch=plan.arch, kwargs=plan.kwargs)
    first, *_, again = [localiser(blob(4, size=size)) for size in (64, 96, 80, 96, 64)]
    assert first.isfinite().all()
    assert first.equal(again), "its positions wear off"


def test_weights_refuse_images_of_other_channels(weights):
    with pytest.raises(UserError, match=r"localiser=weights: .*3 channels, the views have 1"):
        weights(torch.zeros(2, 1, 64, 64))


def test_a_backbone_of_timm_is_found_by_its_name_and_what_it_was_built_with(tmp_path):
    small = Blueprint("timm/resnet18", {"channels": [8, 8, 16, 16]}, small_stem=True)
    other = Blueprint("timm/efficientnet_b0")
    for number, plan in enumerate((small, other)):
        network = build_backbone(plan)
        torch.save(network.state_dict(), tmp_path / f"{number}.pth")
        maps = Weights(str(tmp_path / f"{number}.pth"), arch=plan.arch, kwargs=plan.kwargs)(blob(4))
        assert maps.shape[:2] == (len(blob(4)), 1)
        assert maps.std(dim=(2, 3)).min() > 0


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_what_no_tensor_tells_is_taken_from_the_export(tmp_path, suffix):
    plan = Blueprint("timm/resnet18", {"channels": [16, 16, 16, 16], "act_layer": "silu"})
    network = build_backbone(plan).eval()
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    said = {"method": "byol", "backbone": plan.arch, "backbone_kwargs": dict(plan.kwargs), "small_stem": False}
    file = tmp_path / f"silu.{suffix}"
    export_backbone({"state_dict": state, STATE: said}, file, format="safetensors" if suffix != "pth" else "timm")
    given = Weights(str(file), arch=plan.arch, kwargs=plan.kwargs)(blob(4))
    assert Weights(str(file))(blob(4)).equal(given)


def test_a_description_of_another_backbone_is_refused(tmp_path):
    export(tmp_path, target="timm", seed=1).rename(tmp_path / "moved.pth")
    export(tmp_path, seed=2).with_suffix(".json").rename(tmp_path / "moved.json")
    with pytest.raises(UserError, match=r"moved\.json describes other tensors"):
        Weights(str(tmp_path / "moved.pth"))


def test_what_is_no_export_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file"):
        Weights(str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("dear reader")
    with pytest.raises(UserError, match="no file of tensors"):
        Weights(str(tmp_path / "text.pth"))
    for number, content in enumerate(({"classifier.weight": torch.zeros(2)}, [1])):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(UserError, match="no exported backbone"):
            Weights(str(tmp_path / f"{number}.pth"))
    with pytest.raises(UserError, match="no 'resnet50'"):
        Weights(str(export(tmp_path)), arch="resnet50")


@pytest.mark.parametrize("wrong", [{"size": 4}, {"sigma": 0.0}, {"sigma": float("nan")}])
def test_a_spectral_residual_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="size of 8 or more"):
        SpectralResidual(**wrong)


def test_without_a_backbone_the_map_is_refused_with_the_remedy():
    with pytest.raises(UserError, match="localiser=spectral_residual"):
        BackboneMap()(blob(4))


def test_a_map_of_one_pixel_is_refused_with_the_remedy():
    localiser = BackboneMap()
    lend_backbone(localiser, lambda images: images.mean(dim=(2, 3), keepdim=True))
    with pytest.raises(UserError, match=r"views of 64 px.*stem=cifar"):
        localiser(blob(4))


def test_a_handover_asks_the_first_localiser_in_the_first_epochs_alone():
    images, epoch = torch.rand(2, 3, 32, 32), [0]
    both = Handover(Everywhere(), SpectralResidual(), epochs=2)
    late = SpectralResidual()(images)
    torch.testing.assert_close(both(images), late)  # nobody counts
    lend_clock(torch.nn.Sequential(both), lambda: epoch[0])
    for epoch[0] in range(4):
        torch.testing.assert_close(both(images), Everywhere()(images) if epoch[0] < 2 else late)
    with pytest.raises(ValueError, match="0 or more"):
        Handover(Everywhere(), Everywhere(), epochs=-1)


def test_one_localiser_of_the_run_reaches_what_shares_it():
    shared = Shared()
    lend_backbone(shared, lambda images: images)
    images = blob(4)
    torch.testing.assert_close(shared(images), images.abs().mean(dim=1, keepdim=True))  # alone, it asks the backbone
    lend_localiser(shared, nn.ModuleList([Everywhere()]))
    assert torch.equal(shared(images), Everywhere()(images))
    assert [name for name, _ in shared.named_modules() if name] == ["backbone"]
