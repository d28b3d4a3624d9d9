import math

import pytest
import torch

from amask_solo.fills import Blur, ChannelWise, HighPass, ImageMean, Noise, Zero


@pytest.fixture
def images():
    return torch.randn(4, 3, 24, 20, generator=torch.Generator().manual_seed(0)) + 1


def test_zero_is_zero(images):
    assert Zero()(images).abs().max() == 0


def test_image_mean_is_one_color_an_image(images):
    content = ImageMean()(images)
    assert content[2, 1].unique().numel() == 1
    assert content[2, 1, 5, 5].item() == pytest.approx(images[2, 1].mean().item(), abs=1e-6)


def test_noise_has_its_standard_deviation_and_ignores_the_image(images):
    big = images.repeat(8, 1, 4, 4)
    content = Noise(0.18)(big, generator=torch.Generator().manual_seed(1))
    assert content.std().item() == pytest.approx(0.18, rel=0.01)
    assert content.mean().item() == pytest.approx(0, abs=0.01)
    assert content[0, 0, 0, 0] != content[1, 0, 0, 0]


def test_blur_is_a_weighted_mean_of_the_neighborhood(images):
    content = Blur(5, 1.5)(images)
    weight = [math.exp(-((i - 2) ** 2) / (2 * 1.5**2)) for i in range(5)]
    expected = sum(weight[i] * weight[j] * images[1, 2, 8 + i, 6 + j].item() for i in range(5) for j in range(5))
    assert content[1, 2, 10, 8].item() == pytest.approx(expected / sum(weight) ** 2, rel=1e-4)


def test_high_pass_is_what_the_blur_takes_away(images):
    torch.testing.assert_close(HighPass(5, 1.5)(images) + Blur(5, 1.5)(images), images)


def test_high_pass_removes_a_constant_color():
    assert HighPass()(torch.full((1, 3, 32, 32), 2.5)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (31, 30)])
def test_the_kernel_shrinks_to_the_image(size):
    content = Blur()(torch.ones(2, 3, *size))
    torch.testing.assert_close(content, torch.ones(2, 3, *size))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Noise(0.0),
        lambda: Noise(math.nan),
        lambda: Blur(4),
        lambda: Blur(5, 0.0),
        lambda: Blur(5, math.nan),
        lambda: HighPass(kernel_size=0),
    ],
)
def test_wrong_settings_are_refused(make):
    with pytest.raises(ValueError, match="Expected"):
        make()


def changed(fill, images):
    return fill(images, generator=torch.Generator().manual_seed(1)) != images


def test_channel_wise_each_patch_loses_one_channel(images):
    hidden = changed(ChannelWise(Zero(), share=1.0, grid=4), images)
    assert (hidden.sum(dim=1) == 1).all()
    assert torch.equal(hidden, hidden[..., ::6, ::5].repeat_interleave(6, dim=2).repeat_interleave(5, dim=3))
    assert all(hidden[:, channel].any() for channel in range(3))
    assert len(hidden.flatten(1).unique(dim=0)) == len(images)


def test_the_images_that_do_not_lose_single_channels_lose_all(images):
    many = images.repeat(100, 1, 1, 1)
    lost = changed(ChannelWise(Zero(), share=0.7), many).sum(dim=1).flatten(1)
    assert torch.equal(lost.amin(dim=1), lost.amax(dim=1))
    assert set(lost.unique().tolist()) == {1, 3}
    assert (lost[:, 0] == 1).float().mean().item() == pytest.approx(0.7, abs=0.08)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.5}, {"grid": 0}])
def test_a_channel_wise_fill_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="share in"):
        ChannelWise(Zero(), **wrong)
