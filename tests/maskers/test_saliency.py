"""Of the object as much is hidden as of the rest, to less than a patch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amask_solo.localisers import Everywhere, Localiser
from amask_solo.maskers import SaliencyMasker
from amask_solo.maskers.saliency import proportionate


class Left(Localiser):
    """The object is the left three of seven columns."""

    def forward(self, images):
        maps = images.new_zeros(len(images), 1, 7, 7)
        maps[..., :3] = 1
        return maps


def masks_of(masker, *, batch=256, size=28, seed=0):
    return masker(torch.zeros(batch, 3, size, size), generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 999), cells=st.integers(1, 60), share=st.floats(0.01, 0.99), inside=st.floats(0, 1))
def test_inside_outside_and_all_are_covered_in_the_same_proportion(seed, cells, share, inside):
    draw = torch.Generator().manual_seed(seed)
    region = torch.rand(8, cells, generator=draw) < inside
    hidden = proportionate(region, torch.full((8, 1), share), generator=draw)
    for part in (region, ~region, torch.ones_like(region)):
        error = (hidden & part).sum(dim=1) - share * part.sum(dim=1)
        assert error.abs().max() < 1 + 1e-4


def test_every_cell_is_drawn_as_often():
    draw = torch.Generator().manual_seed(0)
    region = (torch.arange(12) < 4).expand(20_000, -1)
    often = proportionate(region, torch.full((20_000, 1), 0.3), generator=draw).float().mean(dim=0)
    torch.testing.assert_close(often, torch.full((12,), 0.3), atol=0.02, rtol=0)


def test_the_share_is_drawn_for_each_image_from_the_whole_range():
    areas = masks_of(SaliencyMasker(Everywhere(), ratio=(0.1, 0.4))).mean(dim=(1, 2, 3))
    assert 0.1 - 1 / 49 < areas.min() < 0.13
    assert 0.37 < areas.max() < 0.4 + 1 / 49
    assert areas.mean() == pytest.approx(0.25, abs=0.02)


def test_object_and_background_are_hidden_alike():
    masks = masks_of(SaliencyMasker(Left(), ratio=(0.2, 0.2)))
    inside, outside = masks[..., :12].mean(dim=(1, 2, 3)), masks[..., 12:].mean(dim=(1, 2, 3))
    assert ((inside - 0.2).abs() < 1 / 21).all()
    assert ((outside - 0.2).abs() < 1 / 28).all()
    everywhere = masks_of(SaliencyMasker(Everywhere(), ratio=(0.2, 0.2)))
    assert everywhere[..., :12].mean(dim=(1, 2, 3)).std() > 2 * inside.std()


def test_the_object_alone_may_be_hidden():
    masks = masks_of(SaliencyMasker(Left(), ratio=(0.5, 0.5), background=False))
    assert not masks[..., 12:].any()
    assert ((masks[..., :12].mean(dim=(1, 2, 3)) - 0.5).abs() < 1 / 21).all()


def test_patches_are_hidden_whole():
    patches = masks_of(SaliencyMasker(Left())).unfold(2, 4, 4).unfold(3, 4, 4)
    assert torch.equal(patches, patches[..., :1, :1].expand_as(patches))
    assert set(patches.unique().tolist()) == {0, 1}


def test_the_slack_decides_what_is_foreground():
    images = torch.zeros(1, 3, 28, 28)
    assert SaliencyMasker(Left(), slack=0.6).foreground(images).float().mean() == pytest.approx(3 / 7)
    assert SaliencyMasker(Left(), slack=2.0).foreground(images).all()


@pytest.mark.parametrize(
    "wrong", [{"ratio": [0.0, 0.2]}, {"ratio": [0.3, 0.2]}, {"ratio": [0.1, 1.0]}, {"ratio": [0.1]}, {"grid": 1}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        SaliencyMasker(Everywhere(), **wrong)


def test_channels_hide_patches_of_their_own_as_many_as_all_of_them_hide_together():
    masks = masks_of(SaliencyMasker(Left(), ratio=(0.2, 0.2), separate=0.7), batch=1024)
    assert masks.shape[1] == 3
    alike = (masks == masks[:, :1]).flatten(1).all(dim=1)
    assert alike.float().mean().item() == pytest.approx(0.3, abs=0.05)
    for part in (masks[alike], masks[~alike]):
        assert part.mean().item() == pytest.approx(0.2, abs=0.01)
        assert ((part[..., :12].mean(dim=(2, 3)) - 0.2).abs() < 1 / 21).all()
    # Independent channels: few patches are hidden in two of them.
    both = (masks[~alike][:, 0] * masks[~alike][:, 1]).mean().item()
    assert both == pytest.approx(0.2**2, abs=0.01)


def test_no_more_of_the_image_is_hidden_as_foreground_than_allowed():
    masks = masks_of(SaliencyMasker(Everywhere(), ratio=(0.7, 0.7), background=False, most=0.55))
    assert (masks.mean(dim=(1, 2, 3)) - 0.55).abs().max() < 1 / 49
    small = masks_of(SaliencyMasker(Left(), ratio=(0.7, 0.7), background=False, most=0.55))
    assert small.mean().item() == pytest.approx(0.7 * 3 / 7, abs=0.01)


@pytest.mark.parametrize("wrong", [{"most": 0.0}, {"most": 1.5}, {"separate": -0.1}, {"separate": 2.0}])
def test_a_cap_or_a_share_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="most in"):
        SaliencyMasker(Everywhere(), **wrong)
