import pytest
import torch

from amask_solo.localisers import Localiser, foreground
from tests.contracts.configs import build, names
from tests.localisers.exported import export


@pytest.fixture(scope="module", params=names("localiser"))
def localiser(request, tmp_path_factory):
    more = {"path": str(export(tmp_path_factory.mktemp("weights")))} if request.param == "weights" else {}
    return build("localiser", request.param, **more)


def images(size=64, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "batch"), [(64, 1), (65, 3), (160, 2)])
def test_there_is_one_finite_map_an_image(localiser, size, batch, dtype):
    assert isinstance(localiser, Localiser)
    maps = localiser(images(size, batch, dtype))
    assert (maps.shape[:2], maps.dtype) == ((batch, 1), torch.float32)
    assert maps.isfinite().all()
    assert foreground(maps, 7).shape == (batch, 1, 7, 7)


def test_an_image_of_one_color_has_a_finite_map(localiser):
    assert localiser(torch.ones(1, 3, 64, 64)).isfinite().all()


def test_no_graph_leads_back_to_the_images(localiser):
    assert not localiser(images().requires_grad_()).requires_grad


def test_an_image_is_looked_at_alone(localiser):
    view = images(batch=3)
    torch.testing.assert_close(localiser(view)[1:], localiser(view[1:]), rtol=1e-4, atol=1e-5)


def test_it_has_nothing_to_train_or_to_save_and_leaves_the_image_and_the_global_stream_alone(localiser):
    view, before = images(), torch.get_rng_state()
    localiser.train()(view)
    assert not list(localiser.parameters())
    assert not localiser.state_dict()
    assert torch.equal(view, images())
    assert torch.equal(torch.get_rng_state(), before)
