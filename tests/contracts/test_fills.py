import pytest
import torch

from amask_solo.fills import Fill
from amask_solo.occlusion import occlude
from tests.contracts.configs import build, names


@pytest.fixture(params=names("fill"))
def fill(request):
    return build("fill", request.param)


def images(size=32, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator).to(dtype)


def content_of(fill, view, seed=0):
    return fill(view, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "batch"), [(8, 1), (33, 3), (96, 2)])
def test_content_has_the_shape_and_dtype_of_the_images(fill, size, batch, dtype):
    assert isinstance(fill, Fill)
    view = images(size, batch, dtype)
    content = content_of(fill, view)
    assert content.shape == view.shape
    assert content.dtype == dtype
    assert content.isfinite().all()


def test_a_mask_of_zeros_gives_the_image_back(fill):
    view = images()
    assert torch.equal(occlude(view, torch.zeros(2, 1, 32, 32), content_of(fill, view)), view)


def test_a_mask_of_ones_gives_the_content(fill):
    view = images()
    content = content_of(fill, view)
    assert torch.equal(occlude(view, torch.ones(2, 1, 32, 32), content), content)


def test_the_content_is_not_the_image(fill):
    view = images()
    assert (content_of(fill, view, seed=1) - view).abs().mean() > 0.05


def test_the_same_generator_gives_the_same_content(fill):
    view = images()
    assert torch.equal(content_of(fill, view), content_of(fill, view))


def test_it_has_no_parameters_and_leaves_the_image_and_the_global_stream_alone(fill):
    view, before = images(), torch.get_rng_state()
    content_of(fill, view)
    assert not list(fill.parameters())
    assert torch.equal(view, images())
    assert torch.equal(torch.get_rng_state(), before)
