from functools import partial

import pytest
import torch

from amask_solo.maskers import AdiosUNet, PatchHead, SequentialMasker, SimultaneousMasker, UNet
from amask_solo.projections import AreaBudget, Binary, Disjoint, Patches, Projection, Sigmoid, Softmax, Standardized

TINY = partial(UNet, width=4, depth=2)


def images(size=32, batch=2, seed=0):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def wake(masker):
    """Give the scores a spread, as after some training; fresh ones are almost uniform."""
    torch.nn.init.normal_(masker.network.score.weight, std=2.0)
    return masker


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def area_of(masks):
    return masks.mean(dim=(-2, -1))


@pytest.mark.parametrize("resolution", [1.0, 0.5, 0.25, 0.3])
@pytest.mark.parametrize("size", [32, 33, 96])
def test_budgets_hold_at_full_size_whatever_the_resolution(size, resolution):
    masker = wake(SequentialMasker(2, network=TINY, resolution=resolution))
    masks = masker(images(size))
    assert masks.shape == (2, 2, size, size)
    torch.testing.assert_close(area_of(masks), torch.full((2, 2), 0.25), atol=1e-3, rtol=0)


def test_each_step_has_its_own_projection():
    masker = SequentialMasker(3, network=TINY, projection=[AreaBudget(a) for a in (0.5, 0.3, 0.1)])
    torch.testing.assert_close(area_of(masker(images()))[0], torch.tensor([0.5, 0.3, 0.1]), atol=1e-3, rtol=0)


def test_sequential_masks_can_be_disjoint():
    masker = wake(SequentialMasker(3, network=TINY, projection=Disjoint(AreaBudget(0.3))))
    masks = masker(images())
    assert masks.sum(dim=1).max() <= 1 + 1e-5
    torch.testing.assert_close(area_of(masks), torch.full((2, 3), 0.3), atol=1e-3, rtol=0)


def test_later_masks_depend_on_earlier_ones():
    masker = wake(SequentialMasker(3, network=TINY))
    first, second, third = masker(images()).unbind(dim=1)
    assert (first - second).abs().max() > 0.1
    assert (second - third).abs().max() > 0.01


def test_the_masker_sees_the_view_without_what_is_hidden_and_what_is_hidden():
    seen = []
    masker = SequentialMasker(2, network=TINY, projection=Sigmoid(), resolution=1.0)
    masker.network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    view = images()
    first, _ = masker(view).split(1, dim=1)
    torch.testing.assert_close(seen[0], torch.cat([view, torch.zeros_like(first)], dim=1))
    torch.testing.assert_close(seen[1], torch.cat([view * (1 - first), first], dim=1))


@pytest.mark.parametrize("through_earlier", [False, True])
def test_the_gradient_through_earlier_masks_is_a_switch(through_earlier):
    masker = wake(
        SequentialMasker(
            2,
            network=TINY,
            projection=Disjoint(AreaBudget(0.3)),
            resolution=1.0,
            through_earlier=through_earlier,
        )
    )
    scores = []
    masker.network.register_forward_hook(lambda *call: scores.append(call[-1]))
    second = masker(images())[:, 1]
    weight = torch.rand(second.shape, generator=torch.Generator().manual_seed(1))
    gradient, *_ = torch.autograd.grad((weight * second).sum(), scores, allow_unused=True)
    assert (gradient is not None and gradient.abs().max() > 0) == through_earlier


def test_the_gradient_reaches_every_parameter_through_earlier_masks_or_not():
    for through_earlier in (False, True):
        masker = wake(SequentialMasker(2, network=TINY, through_earlier=through_earlier))
        masks = masker(images())
        weight = torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
        (weight * masks).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in masker.parameters())
        assert sum(bool(p.grad.abs().max() > 0) for p in masker.parameters()) > 5


def test_simultaneous_masks_start_near_one_another_but_not_equal():
    masks = SimultaneousMasker()(images())
    assert (masks - 0.25).abs().max() < 0.4
    assert (masks[:, 0] - masks[:, 1]).abs().max() > 1e-4


def test_masks_under_a_budget_start_as_blobs_not_as_a_veil():
    masks = SequentialMasker()(images())
    spread = masks.std(dim=(-2, -1))
    assert spread.min() > 0.1  # a uniform mask has none, a binary one of this area 0.43


def test_simultaneous_masks_are_given_their_projection():
    logits = []
    masker = SimultaneousMasker(3, network=TINY, projection=AreaBudget(0.4), resolution=1.0)
    masker.network.register_forward_hook(lambda *call: logits.append(call[-1]))
    torch.testing.assert_close(masker(images()), AreaBudget(0.4)(logits[0]))


@pytest.mark.parametrize("size", [32, 48, 40])
def test_patch_masks_are_constant_on_the_grid_of_the_backbone(size):
    head = partial(PatchHead, patch_size=16, width=32, depth=1)
    masks = SimultaneousMasker(2, network=head, resolution=1.0)(images(size))
    assert masks.shape[-2:] == (size, size)
    for row in range(0, size, 16):
        patch = masks[:, :, row : row + 16, :16]
        assert (patch == patch[..., :1, :1]).all()
    assert (masks[..., 0, 0] != masks[..., 16, 16]).any()


def test_the_patch_head_tells_places_apart():
    head = PatchHead(3, 1, patch_size=8, width=32)
    scores = head(torch.zeros(1, 3, 32, 32))[0, 0, ::8, ::8]
    assert scores.unique().numel() > 4


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 1), (33, 47)])
def test_the_network_takes_images_of_any_size(size):
    assert UNet(3, 2)(torch.randn(1, 3, *size)).shape == (1, 2, *size)


def test_a_norm_of_each_channel_leaves_what_a_map_of_one_pixel_says():
    torch.manual_seed(0)
    network = UNet(3, 1, norm="instance")
    deepest = []
    network.down[-1].register_forward_hook(lambda *call: deepest.append(call[2]))
    assert network(torch.randn(1, 3, 8, 8)).isfinite().all()
    network(torch.randn(8, 3, 8, 8))
    assert deepest[-1].shape[-2:] == (1, 1)
    assert deepest[-1].std(dim=0).mean() > 0.01


def test_an_image_is_scored_alone():
    network = UNet(3, 1)
    batch = images(batch=3)
    torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("network", [UNet, PatchHead])
def test_no_parameter_can_be_taken_for_the_network_of_the_host(network):
    names = SequentialMasker(network=network).state_dict()
    assert not [name for name in names if "backbone" in name or "encoder" in name]


def test_masks_come_in_the_dtype_of_the_images():
    masker = wake(SequentialMasker(2, network=TINY)).bfloat16()
    masks = masker(images().bfloat16())
    assert masks.dtype == torch.bfloat16
    torch.testing.assert_close(area_of(masks.float()), torch.full((2, 2), 0.25), atol=1e-3, rtol=0)


def test_budgets_hold_under_autocast():
    masker = wake(SequentialMasker(2, network=TINY))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masks = masker(images())
    torch.testing.assert_close(area_of(masks), torch.full((2, 2), 0.25), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequentialMasker(0), "num_masks"),
        (lambda: SequentialMasker(3, projection=[Sigmoid()]), "one projection for each"),
        (lambda: SequentialMasker(resolution=0.0), "resolution"),
        (lambda: SimultaneousMasker(0), "num_masks"),
        (lambda: SimultaneousMasker(resolution=2.0), "resolution"),
        (lambda: UNet(3, 1, width=0), "width"),
        (lambda: PatchHead(3, 1, width=40), "multiple of 32"),
        (lambda: AdiosUNet(3, 1, width=8, depth=5, image_size=16, norm="instance"), "lowest map, of one pixel"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class OwnSoftmax(Projection):
    """A softmax of a user's own."""

    shares_out = True

    def within(self, logits, room, *, generator=None):
        return logits.softmax(dim=1)


@pytest.mark.parametrize("shares", [Softmax, OwnSoftmax])
@pytest.mark.parametrize("around", [lambda p: p, Binary, Disjoint, Standardized, partial(Patches, patch_size=4)])
def test_one_mask_after_another_cannot_share_the_image_out(around, shares):
    with pytest.raises(ValueError, match="one like it, shares pixels out"):
        SequentialMasker(2, projection=[AreaBudget(0.25), around(shares())])


def test_one_mask_cannot_share_the_image_out():
    with pytest.raises(ValueError, match="two masks or more"):
        SimultaneousMasker(1, projection=Softmax())(images())


def test_masks_made_at_once_cannot_leave_out_what_earlier_ones_hide():
    with pytest.raises(ValueError, match="made at once and would overlap"):
        SimultaneousMasker(projection=Binary(Disjoint(AreaBudget(0.25))))
