"""Whole chains against those of PIL and torchvision."""

import torch
from PIL import ImageFilter
from scipy.stats import ks_2samp
from torch.nn.functional import avg_pool2d
from torchvision import transforms

from amask_solo.augment.views import Views, evaluation_view
from tests.augment.inputs import ALL, PLAIN, noise, seeded


def statistics(crops):
    """Return brightness, contrast, colorfulness, hue (red against blue) and sharpness of each."""
    gray = crops.mean(1, keepdim=True)
    return {
        "brightness": gray.mean((1, 2, 3)),
        "contrast": gray.std((1, 2, 3)),
        "color": (crops.amax(1) - crops.amin(1)).mean((1, 2)),
        "hue": (crops[:, 0] - crops[:, 2]).mean((1, 2)),
        "sharpness": (gray - avg_pool2d(gray, 3, 1, 1, count_include_pad=False)).abs().mean((1, 2, 3)),
    }


class PilBlur:
    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))


def test_a_whole_recipe_has_the_statistics_of_the_same_chain_in_pil(photos, to_pil, make_node):
    photo, count, size = photos[0], 900, 24
    jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
    chain = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, (0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(0.2),
            transforms.RandomApply([PilBlur()], p=0.5),
            transforms.RandomSolarize(128, 0.2),
            transforms.RandomEqualize(0.1),
            transforms.RandomHorizontalFlip(0.5),
            transforms.ToTensor(),
        ]
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = torch.stack([chain(to_pil(photo)) for _ in range(count)])
    views, generator = Views([make_node(crop_size=size, **ALL)], **PLAIN), seeded(1)
    batch = photo.expand(9, -1, -1, -1)
    ours = torch.cat([views(batch, generator=generator)[0] for _ in range(count // 9)])
    expected = statistics(theirs)
    for name, values in statistics(ours).items():
        assert ks_2samp(values, expected[name]).pvalue > 1e-3, name


def test_evaluation_only_normalizes_images_of_the_right_size():
    images = noise(2, 16)
    view = evaluation_view(images, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=16)
    torch.testing.assert_close(view, images / 127.5 - 1)


def test_evaluation_resizes_and_crops_larger_images_as_the_host_does(photos, to_pil):
    chain = transforms.Compose([transforms.Resize(32), transforms.CenterCrop(28), transforms.ToTensor()])
    expected = torch.stack([chain(to_pil(photo)) for photo in photos])
    view = evaluation_view(photos, size=28, **PLAIN)
    torch.testing.assert_close(view, expected, atol=1.1 / 255, rtol=0)
