import jaxtyping
import pytest
import torch
from torch.nn.functional import conv2d

from amask_solo.augment.views import Views, evaluation_view
from tests.augment.inputs import ALL, PLAIN, STRONG, noise, seeded


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


@pytest.mark.parametrize("size", [20, 16])
def test_autocast_around_the_call_does_not_coarsen_the_view_of_the_evaluation(size):
    def blurred(views):
        return conv2d(views, torch.full((3, 1, 3, 3), 1 / 9), groups=3)

    images = noise(4, 20)
    expected = evaluation_view(images, size=size, view_filter=blurred, **PLAIN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view = evaluation_view(images, size=size, view_filter=blurred, **PLAIN)
    assert view.dtype == torch.float32
    assert torch.equal(view, expected)


def test_without_a_random_crop_the_central_square_is_resized(make_node):
    images = noise(2, 24)
    wide = torch.cat([torch.zeros_like(images[..., :6]), images, torch.zeros_like(images[..., :6])], -1)
    (view,) = Views([make_node(crop_size=24)], **PLAIN)(wide, generator=seeded())
    torch.testing.assert_close(view, images / 255)


CHANGES = {
    "horizontal_flip": lambda image: image.flip(-1),
    "solarization": lambda image: torch.where(image < 0.5, image, 1 - image),
    "grayscale": lambda image: (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).expand(3, -1, -1),
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


def test_large_crops_come_before_small_ones_as_in_the_schema(make_node):
    schema = [make_node(32, 2, **ALL), make_node(18, 6, **ALL)]
    shapes = [tuple(view.shape) for view in Views(schema, **PLAIN)(noise(3, 32), generator=seeded())]
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


def test_a_batch_that_is_worked_on_in_portions_gives_the_same_views(make_node, monkeypatch):
    views, images = Views([make_node(num_crops=2, **ALL)], **PLAIN), noise(7, 20)
    at_once = views(images, generator=seeded())
    monkeypatch.setattr("amask_solo.augment.views._CACHED", 3 * 3 * 20 * 20 // torch.get_num_threads())
    for view, expected in zip(views(images, generator=seeded()), at_once, strict=True):
        # The levels of the equalization are the only step in which rounding decides.
        assert (view - expected).abs().mean() < 1e-5


def test_a_model_that_holds_views_keeps_them_out_of_its_checkpoint(make_node):
    model = torch.nn.Linear(1, 1)
    model.views = Views([make_node(**ALL)], **PLAIN)
    assert set(model.state_dict()) == {"weight", "bias"}


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
