import pytest
import torch

from amask_solo._types import WeightedViews
from amask_solo.hard_views import AdversarialPixels

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def channels(values):
    return torch.tensor(values).view(-1, 1, 1)


def pair(batch=3, size=8):
    pixels = torch.rand(2, batch, 3, size, size, generator=source())
    first, second = (pixels - channels(MEAN)) / channels(STD)
    return WeightedViews((first, second), 1.0, side=1)


def curved(views):
    return ((views[0] - views[1]) * torch.linspace(-1, 1, 8)).square().sum() + views[1].sin().sum()


def moved(entry=None, loss=curved, **settings):
    """Return what an attack adds, on the scale of 0 to 255, and the entry that it makes."""
    entry = entry or pair()
    attack = AdversarialPixels(mean=MEAN, std=STD, **settings)
    (made,) = attack([entry], loss, generator=source(1))
    return (made.views[1] - entry.views[1]) * channels(STD) * 255, made


def lengths(delta, norm):
    return delta.flatten(1).abs().amax(dim=1) if norm == "linf" else delta.flatten(1).norm(dim=1)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 3.0), ("l2", 40.0)])
def test_nothing_moves_farther_than_eps_and_no_pixel_leaves_black_and_white(norm, eps, random_start, steps):
    delta, made = moved(norm=norm, eps=eps, random_start=random_start, steps=steps)
    assert lengths(delta, norm).max() <= eps * (1 + 1e-4)
    assert lengths(delta, norm).min() > eps / 3
    pixels = made.views[1] * channels(STD) + channels(MEAN)
    assert pixels.min() > -1e-6
    assert pixels.max() < 1 + 1e-6


def test_one_step_is_the_sign_of_the_gradient_times_eps():
    inside = pair()
    inside = inside.harder(inside.views[1] / 4)
    view = inside.views[1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(curved((inside.views[0], view)), view)
    delta, _ = moved(inside, eps=2.0)
    torch.testing.assert_close(delta, 2 * gradient.sign(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 3.0), ("l2", 40.0)])
def test_it_raises_the_objective_and_many_steps_raise_it_further(norm, eps):
    before = curved(pair().views)
    one, many = (curved(moved(norm=norm, eps=eps, steps=steps)[1].views) for steps in (1, 10))
    assert before < one < many


def test_with_an_eps_of_zero_the_view_is_the_same_to_the_bit():
    for norm in ("linf", "l2"):
        _, made = moved(eps=0.0, norm=norm, random_start=True, steps=2)
        assert torch.equal(made.views[1], pair().views[1])


def test_pixels_that_a_fill_put_beyond_white_get_no_farther():
    entry = pair()
    entry = entry.harder(entry.views[1] + 50)
    delta, _ = moved(entry, loss=lambda views: views[1].sum(), eps=4.0)
    assert delta.abs().max() < 0.01
    delta, _ = moved(entry, loss=lambda views: -views[1].sum(), eps=4.0)
    assert delta.max() < -3.9


def test_what_gets_no_gradient_does_not_move():
    for norm in ("linf", "l2"):
        _, made = moved(norm=norm, loss=lambda views: (views[0] * torch.ones((), requires_grad=True)).sum())
        assert torch.equal(made.views[1], pair().views[1])


def test_half_precision_finds_the_signs_of_single_precision():
    images, weights = 8 * torch.randn(4, 3, 32, 32), torch.nn.Conv2d(3, 8, 3).requires_grad_(False)
    entry = WeightedViews((images, images), 1.0, 1)

    def faint(views):
        return 1e-6 * weights(views[1]).square().mean()

    exact, _ = moved(entry, loss=faint)
    with torch.autocast("cpu", torch.float16):
        half, _ = moved(entry, loss=faint)
    assert (half.sign() == exact.sign()).float().mean() > 0.97


def test_views_of_other_channels_are_refused():
    gray = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match="views of 3 channels"):
        next(AdversarialPixels()([WeightedViews((gray, gray), 1.0, 1)], lambda views: views[1].sum()))


def test_it_attacks_where_gradients_are_off():
    with torch.no_grad():
        assert moved()[0].abs().max() > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"eps": -1.0},
        {"eps": float("nan")},
        {"eps": float("inf")},
        {"steps": 0},
        {"step_size": 0.0},
        {"mean": [0.5], "std": [0.0]},
        {"mean": [float("nan")], "std": [0.5]},
        {"mean": [0.5, 0.5], "std": [0.5]},
    ],
)
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        AdversarialPixels(**wrong)
