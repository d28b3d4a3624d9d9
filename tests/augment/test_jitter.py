from functools import partial
from itertools import permutations
from math import pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import functional as torchvision

from amask_solo.augment.color import ADJUSTMENTS, jitter

KORNIA = {
    "brightness": adjust_brightness_accumulative,
    "contrast": adjust_contrast_with_mean_subtraction,
    "saturation": adjust_saturation_with_gray_subtraction,
    "hue": lambda images, turns: adjust_hue(images, turns * (2 * pi)),
}
COLORS = torch.cartesian_prod(*3 * [torch.tensor([0.0, 1e-6, 0.2, 0.5, 1.0])]).T.reshape(1, 3, 5, 25)
"""Gray, black, white and pure colors, where the cases of HSV meet, and others."""

close = partial(torch.testing.assert_close, atol=1e-5, rtol=0)


def in_turn(steps, images, order, factors):
    for name in order:
        images = steps[name](images, factors[name])
    return images


@pytest.mark.parametrize("order", list(permutations(ADJUSTMENTS)))
def test_the_jitter_is_that_of_the_separate_steps_of_kornia_in_every_order(photos, order):
    factors = dict(zip(ADJUSTMENTS, torch.linspace(0.2, 1.8, 16).reshape(4, 4), strict=True))
    factors["hue"] = torch.tensor([-0.5, -0.1, 0.3, 0.5])
    images = photos / 255
    jittered = jitter(images, *(factors[name] for name in order), steps=[ADJUSTMENTS[name] for name in order])
    close(jittered, in_turn(KORNIA, images, order, factors))
    assert torch.equal(images, photos / 255)


FACTORS = st.fixed_dictionaries(
    {name: st.floats(0, 2, width=32) for name in ("brightness", "contrast", "saturation")}
    | {"hue": st.floats(-0.5, 0.5, width=32)}
)


@settings(deadline=None)
@given(
    pixels=st.lists(st.integers(0, 255), min_size=12, max_size=12),
    order=st.permutations(list(ADJUSTMENTS)),
    factors=FACTORS,
)
def test_any_pixels_are_jittered_as_by_kornia_and_stay_in_range(pixels, order, factors):
    images = torch.tensor(pixels).reshape(1, 3, 2, 2) / 255
    factors = {name: torch.tensor([factor]) for name, factor in factors.items()}
    jittered = in_turn(ADJUSTMENTS, images, order, factors)
    close(jittered, in_turn(KORNIA, images, order, factors))
    assert jittered.min() >= 0
    assert jittered.max() <= 1


@pytest.mark.parametrize("turn", torch.linspace(-0.5, 0.5, 37).tolist())
def test_the_hue_is_that_of_torchvision_where_the_cases_of_hsv_meet_too(turn):
    close(ADJUSTMENTS["hue"](COLORS, torch.tensor([turn])), torchvision.adjust_hue(COLORS, turn))


def test_a_third_of_a_turn_makes_green_of_red_and_no_turn_keeps_all_colors():
    red = torch.tensor([0.9, 0.1, 0.1]).reshape(1, 3, 1, 1)
    close(ADJUSTMENTS["hue"](red, torch.tensor([1 / 3])), red.roll(1, dims=1))
    close(ADJUSTMENTS["hue"](COLORS, torch.tensor([0.0])), COLORS)


class Launches(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(("names", "most"), [(["hue"], 23), (["contrast", "saturation"], 11)])
def test_the_steps_take_few_launches_on_a_device(names, most):
    images, factors = torch.empty(2, 3, 4, 4, device="meta"), torch.empty(2, device="meta")
    with Launches() as launches:
        for name in names:
            ADJUSTMENTS[name](images, factors)
    assert launches.count <= most
