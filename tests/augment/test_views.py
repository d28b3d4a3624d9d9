import os
from pathlib import Path

import jaxtyping
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from scipy.stats import ks_2samp
from torch.nn.functional import avg_pool2d
from torchvision import transforms

from amask_solo.augment import Views, evaluation_view

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "configs" / "augmentations").glob("*.yaml"))
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
STRONG = {"prob": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
ALL = {
    "rrc": {"enabled": True, "crop_min_scale": 0.2, "crop_max_scale": 1.0},
    "color_jitter": STRONG,
    "grayscale": {"prob": 0.2},
    "gaussian_blur": {"prob": 0.5},
    "solarization": {"prob": 0.2},
    "equalization": {"prob": 0.1},
    "horizontal_flip": {"prob": 0.5},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count, size):
    return torch.randint(256, (count, 3, size, size), generator=seeded(9), dtype=torch.uint8)


def test_the_same_seed_gives_the_same_views_and_another_gives_others(make_node):
    views = Views([make_node(num_crops=2, **ALL)], **PLAIN)
    images = noise(8, 20)
    first, again, other = (views(images, generator=seeded(seed)) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_the_generator_moves_on_so_the_next_batch_differs(make_node):
    views, generator = Views([make_node(**ALL)], **PLAIN), seeded()
    images = noise(4, 20)
    assert not torch.equal(*(views(images, generator=generator)[0] for _ in range(2)))


def test_equal_images_in_a_batch_come_out_different_and_so_do_views(make_node):
    images = noise(1, 20).expand(6, -1, -1, -1)
    node = make_node(**ALL)
    symmetric = Views([{**node, "num_crops": 2}], **PLAIN)(images, generator=seeded())
    asymmetric = Views([node, node], **PLAIN)(images, generator=seeded())
    for views in (symmetric, asymmetric):
        crops = torch.cat(views).flatten(1)
        distance = torch.cdist(crops, crops) + torch.eye(12)
        assert distance.min() > 1e-3


def test_the_global_stream_and_the_images_are_left_alone(make_node):
    images, state = noise(4, 20), torch.get_rng_state()
    before = images.clone()
    Views([make_node(**ALL)], **PLAIN)(images, generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, before)


def test_views_are_normalized_floats_without_a_graph(make_node):
    images = torch.full((2, 3, 8, 8), 51, dtype=torch.uint8)
    views = Views([make_node(crop_size=8)], mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.5))
    (view,) = views(images, generator=seeded())
    assert view.dtype == torch.float32
    assert not view.requires_grad
    torch.testing.assert_close(view[0, :, 0, 0], torch.tensor([1.0, 0.0, -0.2]))


def test_the_statistics_of_a_node_come_first(make_node):
    images = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    own = make_node(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    first, second = Views([own, make_node()], **PLAIN)(images, generator=seeded())
    assert first.mean() == pytest.approx(2.0)
    assert second.mean() == pytest.approx(1.0)


def test_autocast_around_the_call_does_not_coarsen_the_views(make_node):
    views, images = Views([make_node(**ALL)], **PLAIN), noise(4, 20)
    (expected,) = views(images, generator=seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (view,) = views(images, generator=seeded())
    assert torch.equal(view, expected)


def test_without_a_random_crop_the_central_square_is_resized(make_node):
    images = noise(2, 24)
    wide = torch.cat(
        [torch.zeros_like(images[..., :6]), images, torch.zeros_like(images[..., :6])], -1
    )
    (view,) = Views([make_node(crop_size=24)], **PLAIN)(wide, generator=seeded())
    torch.testing.assert_close(view, images / 255)


CHANGES = {
    "horizontal_flip": lambda image: image.flip(-1),
    "solarization": lambda image: torch.where(image < 0.5, image, 1 - image),
    "grayscale": lambda image: (
        (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).expand(3, -1, -1)
    ),
}


@pytest.mark.parametrize("prob", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("name", CHANGES)
def test_an_operation_is_applied_as_often_as_its_probability_says(make_node, name, prob):
    image, count = noise(1, 4), 4000
    views = Views([make_node(crop_size=4, **{name: {"prob": prob}})], **PLAIN)
    (view,) = views(image.expand(count, -1, -1, -1), generator=seeded())
    changed = (view - CHANGES[name](image[0] / 255)).abs().amax((1, 2, 3)) < 1e-4
    kept = (view - image / 255).abs().amax((1, 2, 3)) < 1e-4
    assert (changed ^ kept).all()
    spread = 4.5 * (prob * (1 - prob) / count) ** 0.5
    assert abs(changed.float().mean().item() - prob) <= spread


@pytest.mark.parametrize("name", ["color_jitter", "gaussian_blur", "equalization"])
def test_the_others_are_too(make_node, name):
    settings = {**STRONG, "prob": 0.3} if name == "color_jitter" else {"prob": 0.3}
    image, count = noise(1, 24), 1000  # PIL leaves very small images as they are
    views = Views([make_node(crop_size=24, **{name: settings})], **PLAIN)
    (view,) = views(image.expand(count, -1, -1, -1), generator=seeded())
    # A blur of the smallest deviation changes next to nothing.
    changed = (view - image / 255).abs().amax((1, 2, 3)) > 1e-6
    assert abs(changed.float().mean().item() - 0.3) <= 4.5 * (0.3 * 0.7 / count) ** 0.5


def statistics(crops):
    """Return brightness, contrast, colorfulness, hue (red against blue) and sharpness of each."""
    gray = crops.mean(1, keepdim=True)
    return {
        "brightness": gray.mean((1, 2, 3)),
        "contrast": gray.std((1, 2, 3)),
        "color": (crops.amax(1) - crops.amin(1)).mean((1, 2)),
        "hue": (crops[:, 0] - crops[:, 2]).mean((1, 2)),
        "sharpness": (gray - avg_pool2d(gray, 3, 1, 1, count_include_pad=False))
        .abs()
        .mean((1, 2, 3)),
    }


class PilBlur:
    def __call__(self, image):
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))


def test_a_whole_recipe_has_the_statistics_of_the_same_chain_in_pil(photos, to_pil, make_node):
    photo, count, size = photos[0], 900, 24
    jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
    chain = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                size, (0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
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


def test_large_crops_come_before_small_ones_as_in_the_schema(make_node):
    schema = [make_node(32, 2, **ALL), make_node(18, 6, **ALL)]
    shapes = [
        tuple(view.shape) for view in Views(schema, **PLAIN)(noise(3, 32), generator=seeded())
    ]
    assert shapes == [(3, 3, 32, 32)] * 2 + [(3, 3, 18, 18)] * 6


@pytest.mark.parametrize("batch", [1, 5])
def test_any_batch_size_works(make_node, batch):
    (view,) = Views([make_node(**ALL)], **PLAIN)(noise(batch, 20), generator=seeded())
    assert view.shape == (batch, 3, 16, 16)


@pytest.mark.parametrize("images", [torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8).byte()])
def test_images_that_are_not_bytes_in_rgb_are_refused(make_node, images):
    for call in (
        lambda: Views([make_node()], **PLAIN)(images, generator=seeded()),
        lambda: evaluation_view(images, size=8, **PLAIN),
    ):
        with pytest.raises((ValueError, jaxtyping.TypeCheckError)):
            call()


def test_a_model_that_holds_views_keeps_them_out_of_its_checkpoint(make_node):
    model = torch.nn.Linear(1, 1)
    model.views = Views([make_node(**ALL)], **PLAIN)
    assert set(model.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_composes_and_makes_two_views_of_one_size(name, size):
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cfg = compose(overrides=[f"+augmentations={name}", f"+data.image_size={size}"])
    views = Views(cfg.augmentations, **PLAIN)(noise(2, 40), generator=seeded())
    assert [view.shape[-1] for view in views] == [size, size]
    assert all(torch.isfinite(view).all() for view in views)


@pytest.mark.skipif("SOLO_LEARN_ROOT" not in os.environ, reason="wants a checkout of solo-learn")
def test_every_augmentation_file_of_the_host_works_as_it_is():
    folder = Path(os.environ["SOLO_LEARN_ROOT"]) / "scripts" / "pretrain"
    files = sorted(folder.glob("*/augmentations/*.yaml"))
    assert files
    for path in files:
        schema = yaml.safe_load(path.read_text())
        views = Views(schema, **PLAIN)(noise(1, 32), generator=seeded())
        assert len(views) == sum(node["num_crops"] for node in schema), path
        assert views[0].shape[-1] == schema[0]["crop_size"], path


def test_evaluation_only_normalizes_images_of_the_right_size():
    images = noise(2, 16)
    view = evaluation_view(images, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=16)
    torch.testing.assert_close(view, images / 127.5 - 1)


def test_evaluation_resizes_and_crops_larger_images_as_the_host_does(photos, to_pil):
    chain = transforms.Compose(
        [transforms.Resize(32), transforms.CenterCrop(28), transforms.ToTensor()]
    )
    expected = torch.stack([chain(to_pil(photo)) for photo in photos])
    view = evaluation_view(photos, size=28, **PLAIN)
    torch.testing.assert_close(view, expected, atol=1.1 / 255, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA device")
def test_the_device_makes_the_views_of_the_host_without_making_it_wait(make_node):
    views, images = Views([make_node(num_crops=2, **ALL)], **PLAIN), noise(8, 20)
    on_host = views(images, generator=seeded())
    on_device = views(images.cuda(), generator=seeded())
    for here, there in zip(on_host, on_device, strict=True):
        # The levels of the equalization are the only step in which rounding decides.
        assert (here - there.cpu()).abs().mean() < 1e-3
    images, generator = images.cuda(), torch.Generator("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        views(images, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
