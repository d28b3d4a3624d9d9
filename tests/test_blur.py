"""The blur that augmentations, fills and the evaluation share."""

import pytest
import torch
from torch.nn.functional import pad

from amask_solo.blur import gaussian_blur


@pytest.mark.parametrize("border", ["replicate", "reflect"])
def test_each_image_is_a_weighted_mean_by_its_own_deviation(border):
    images, sigmas = torch.rand(3, 2, 9, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3, 1.0, 2.5])
    blurred = gaussian_blur(images, sigmas, (5, 3), border=border)
    wide = pad(images, (1, 1, 2, 2), mode=border)
    for number, sigma in enumerate(sigmas):
        down, right = (torch.arange(-reach, reach + 1) for reach in (2, 1))
        weights = (-(down[:, None].square() + right.square()) / (2 * sigma**2)).exp()
        for row, column in ((0, 0), (4, 3), (8, 7)):
            expected = (wide[number, 1, row : row + 5, column : column + 3] * weights).sum() / weights.sum()
            assert blurred[number, 1, row, column].item() == pytest.approx(expected.item(), abs=1e-6)


def test_it_is_as_exact_under_autocast():
    images = 2.6 * torch.ones(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        blurred = gaussian_blur(images, torch.ones(2), (7, 7), border="reflect")
    torch.testing.assert_close(blurred, images)


def test_the_gradient_reaches_the_images():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    gaussian_blur(images, torch.ones(2), (7, 7), border="reflect").sum().backward()
    assert images.grad.sum().item() == pytest.approx(images.numel(), rel=1e-5)
