import pytest
import torch

from amask_solo.maskers import RandomMasker, SequentialMasker
from amask_solo.projections import AreaBudget, Disjoint

QUARTER = Disjoint(AreaBudget(0.25))


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**settings):
    torch.manual_seed(0)
    return SequentialMasker(**settings).double()


def images(count):
    return torch.randn(count, 3, 24, 24, generator=source(1), dtype=torch.float64)


def drawn_numbers(masker, view):
    """Return for each image which of its masks was drawn, found by comparison."""
    one = masker.draw_one(view, generator=source())
    distance = (masker(view) - one).abs().amax(dim=(2, 3))
    assert distance.amin(dim=1).max() < 1e-6
    return distance.argmin(dim=1)


@pytest.mark.parametrize("projection", [QUARTER, [Disjoint(AreaBudget(a)) for a in (0.4, 0.3, 0.2)]])
@pytest.mark.parametrize("through_earlier", [False, True])
def test_a_drawn_mask_is_one_of_the_image_s_own(projection, through_earlier):
    drawn_numbers(make(projection=projection, through_earlier=through_earlier), images(7))


def test_each_step_is_drawn_for_equally_many_images_and_for_any_of_them():
    masker = make()
    assert drawn_numbers(masker, images(9)).bincount(minlength=3).tolist() == [3, 3, 3]


@pytest.mark.parametrize("count", [2, 8, 9])
def test_the_gradient_is_that_of_drawing_from_all_masks(count):
    masker = make()
    view = images(count)
    weight = torch.rand(count, 1, 24, 24, generator=source(2), dtype=torch.float64)
    numbers = drawn_numbers(masker, view)
    parameters = list(masker.parameters())
    got = torch.autograd.grad((weight * masker.draw_one(view, generator=source())).sum(), parameters)
    chosen = masker(view)[torch.arange(count), numbers].unsqueeze(1)
    expected = torch.autograd.grad((weight * chosen).sum(), parameters)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def test_under_autocast_the_network_learns_though_it_ran_without_a_graph_before():
    masker = SequentialMasker()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masker.draw_one(images(9).float(), generator=source()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in masker.parameters())


def test_any_masker_can_draw():
    masks = RandomMasker(num_masks=3).draw_one(torch.zeros(4, 3, 16, 16), generator=source())
    assert masks.shape == (4, 1, 16, 16)
