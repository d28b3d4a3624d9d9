import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.functional import hflip
from torchvision.transforms.functional import resized_crop as pil_resized_crop

from amask_solo.augment.crop import crop_by_matrices, crop_each, resized_crop
from amask_solo.augment.sampling import Boxes, Sampler

CPU = torch.device("cpu")


def boxes_of(*corners_and_sizes):
    return Boxes(*torch.tensor(corners_and_sizes, dtype=torch.float32).T)


def sampler(count, seed=0):
    return Sampler(count, generator=torch.Generator().manual_seed(seed), device=CPU)


def torchvision_boxes(count, height, width, scale):
    image = torch.empty(1, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = [RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3)) for _ in range(count)]
    return torch.tensor(draws, dtype=torch.float32).T


def test_a_box_around_the_whole_image_gives_the_image_back():
    images = torch.rand(2, 3, 16, 16)
    whole = boxes_of((0, 0, 16, 16), (0, 0, 16, 16))
    crops = resized_crop(images, whole, torch.tensor([False, True]), 16)
    torch.testing.assert_close(crops[0], images[0])
    torch.testing.assert_close(crops[1], images[1].flip(-1))


@pytest.mark.parametrize("size", [12, 32, 60])
def test_crops_are_those_of_pil(photos, to_pil, from_pil, size):
    places = [(0, 0, 48, 64), (5, 9, 20, 17), (30, 1, 18, 50), (47, 63, 1, 1)]
    flip = torch.tensor([False, True, False, True])
    crops = resized_crop(photos / 255, boxes_of(*places), flip, size)
    for crop, photo, place, mirrored in zip(crops, photos, places, flip, strict=True):
        expected = pil_resized_crop(to_pil(photo), *place, [size, size], InterpolationMode.BICUBIC)
        expected = from_pil(hflip(expected) if mirrored else expected)
        # PIL rounds to 8 bits after either axis.
        torch.testing.assert_close(crop, expected, atol=1.2 / 255, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(30, 30), (48, 20), (20, 48)])
@pytest.mark.parametrize("size", [7, 24, 60])
def test_a_device_and_a_cpu_crop_alike(height, width, size):
    images, draws = torch.rand(40, 3, height, width), sampler(40)
    boxes, flip = draws.crop_boxes(height, width, (0.01, 1.0)), draws.chance(0.5)
    by_matrices, one_by_one = (crop(images, boxes, flip, size) for crop in (crop_by_matrices, crop_each))
    torch.testing.assert_close(by_matrices, one_by_one, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 96), (300, 40)])
@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.5, 0.6)])
def test_boxes_are_distributed_as_those_of_torchvision(height, width, scale):
    ours = sampler(3000).crop_boxes(height, width, scale)
    theirs = Boxes(*torchvision_boxes(3000, height, width, scale))
    for name, mine, other in zip(Boxes._fields, ours, theirs, strict=True):
        assert ks_2samp(mine, other).pvalue > 1e-3, name
    assert ks_2samp(ours.height * ours.width, theirs.height * theirs.width).pvalue > 1e-3
    assert ks_2samp(ours.height / ours.width, theirs.height / theirs.width).pvalue > 1e-3


@pytest.mark.parametrize(("height", "width"), [(8, 128), (128, 8)])
def test_the_largest_central_box_is_taken_where_none_fits(height, width):
    ours = sampler(50).crop_boxes(height, width, (0.9, 1.0))
    theirs = torchvision_boxes(50, height, width, (0.9, 1.0))
    torch.testing.assert_close(torch.stack(list(ours)), theirs)


@pytest.mark.parametrize("seed", range(5))
def test_boxes_lie_within_the_image(seed):
    boxes = sampler(500, seed).crop_boxes(5, 7, (0.01, 1.0))
    assert (boxes.height >= 1).all()
    assert (boxes.width >= 1).all()
    assert (boxes.top >= 0).all()
    assert (boxes.left >= 0).all()
    assert (boxes.top + boxes.height <= 5).all()
    assert (boxes.left + boxes.width <= 7).all()
