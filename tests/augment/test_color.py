import pytest
import torch
from PIL import ImageFilter, ImageOps
from torchvision.transforms import functional as reference

from amask_solo.augment import color

FACTORS = {
    "brightness": [0.2, 0.7, 1.0, 1.8],
    "contrast": [0.2, 0.7, 1.0, 1.8],
    "saturation": [0.2, 0.7, 1.0, 1.8],
    "hue": [-0.2, -0.05, 0.0, 0.2],
}


@pytest.mark.parametrize("name", color.ADJUSTMENTS)
def test_each_step_of_the_jitter_is_that_of_torchvision(photos, name):
    images = photos / 255
    changed = color.ADJUSTMENTS[name](images, torch.tensor(FACTORS[name]))
    for image, out, factor in zip(images, changed, FACTORS[name], strict=True):
        expected = getattr(reference, f"adjust_{name}")(image, factor)
        torch.testing.assert_close(out, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", color.ADJUSTMENTS)
def test_each_step_of_the_jitter_is_that_of_pil_up_to_its_rounding(photos, to_pil, from_pil, name):
    changed = color.ADJUSTMENTS[name](photos / 255, torch.tensor(FACTORS[name]))
    for photo, out, factor in zip(photos, changed, FACTORS[name], strict=True):
        expected = from_pil(getattr(reference, f"adjust_{name}")(to_pil(photo), factor))
        # PIL keeps hue and saturation in 8 bits each, which costs up to some levels a pixel.
        assert (out - expected).abs().mean() < 1.5 / 255


@pytest.mark.parametrize(
    ("ours", "pil"),
    [
        (color.grayscale, lambda image: image.convert("L").convert("RGB")),
        (color.solarize, ImageOps.solarize),
        (color.equalize, ImageOps.equalize),
    ],
)
def test_the_other_operations_are_those_of_pil(photos, to_pil, from_pil, ours, pil):
    expected = torch.stack([from_pil(pil(to_pil(photo))) for photo in photos])
    torch.testing.assert_close(ours(photos / 255), expected, atol=0.6 / 255, rtol=0)


def test_pixels_between_two_levels_are_equalized_as_the_nearest(photos):
    between = photos / 255 + 0.4 / 255 * (torch.rand(photos.shape) - 0.5)
    torch.testing.assert_close(color.equalize(between.clamp(0, 1)), color.equalize(photos / 255))


def test_blur_is_the_gaussian_of_its_deviation(photos):
    sigmas = torch.tensor([0.1, 0.6, 1.3, 2.0])
    images = photos / 255
    blurred = color.blur(images, sigmas)
    for image, out, sigma in zip(images, blurred, sigmas, strict=True):
        expected = reference.gaussian_blur(image, [13, 13], [float(sigma)] * 2)
        inner = (..., slice(6, -6), slice(6, -6))  # torchvision mirrors the edges
        torch.testing.assert_close(out[inner], expected[inner], atol=1e-4, rtol=0)


def test_blur_is_close_to_that_of_pil(photos, to_pil, from_pil):
    sigmas = torch.tensor([0.5, 1.0, 1.5, 2.0])
    blurred = color.blur(photos / 255, sigmas)
    for photo, out, sigma in zip(photos, blurred, sigmas, strict=True):
        expected = from_pil(to_pil(photo).filter(ImageFilter.GaussianBlur(float(sigma))))
        assert (out - expected).abs().mean() < 1 / 255
        # The edges too: they are repeated, not mirrored and not black.
        assert (out[..., :2, :] - expected[..., :2, :]).abs().mean() < 1.5 / 255


def test_only_the_drawn_images_change(photos):
    images, drawn = photos / 255, torch.tensor([True, False, False, True])
    factors = torch.tensor([0.5, 9.0, 9.0, 0.25])
    scaled = color.where_drawn(color.ADJUSTMENTS["brightness"], images, drawn, factors)
    torch.testing.assert_close(scaled[0], images[0] / 2)
    torch.testing.assert_close(scaled[3], images[3] / 4)
    assert torch.equal(scaled[1:3], images[1:3])


def test_a_batch_with_no_image_drawn_stays_as_it_is(photos):
    images = photos / 255
    assert torch.equal(color.where_drawn(color.solarize, images, torch.zeros(4).bool()), images)
