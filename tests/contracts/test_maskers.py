import pytest
import torch

from amask_solo.maskers import Masker
from tests.contracts.configs import build, names


@pytest.fixture(params=[name for name in names("masker") if name != "none"])
def masker(request):
    torch.manual_seed(0)
    return build("masker", request.param)


def images(size, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator).to(dtype)


def propose(masker, view, seed=0):
    return masker(view, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "batch"), [(32, 1), (33, 3), (96, 2), (224, 1)])
def test_masks_of_any_image_are_between_zero_and_one(masker, size, batch):
    assert isinstance(masker, Masker)
    with torch.no_grad():
        masks = propose(masker, images(size, batch))
    assert masks.shape == (batch, masker.num_masks, size, size)
    assert masks.dtype == torch.float32
    assert masks.min() >= 0
    assert masks.max() <= 1


def test_no_mask_is_empty_or_full(masker):
    area = propose(masker, images(32)).mean(dim=(-2, -1))
    assert area.min() > 0.04
    assert area.max() < 0.6


def test_the_same_generator_gives_the_same_masks(masker):
    view = images(32)
    torch.testing.assert_close(propose(masker, view), propose(masker, view), rtol=0, atol=0)


def test_the_global_stream_is_left_alone(masker):
    before = torch.get_rng_state()
    propose(masker, images(32))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gradient_reaches_the_parameters_if_there_are_any(masker):
    masks = propose(masker, images(32))
    parameters = list(masker.parameters())
    assert masks.requires_grad == bool(parameters)
    if parameters:
        weight = torch.rand(masks.shape, generator=torch.Generator().manual_seed(1))
        (weight * masks).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
        assert any(p.grad.abs().max() > 0 for p in parameters)


def test_masks_come_in_the_dtype_of_the_images(masker):
    assert propose(masker.bfloat16(), images(32, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_an_image_is_masked_without_regard_to_the_others(masker):
    view = images(32, 3)
    if not torch.equal(propose(masker, view), propose(masker, view, seed=1)):
        pytest.skip("random masks depend on the place in the batch")
    torch.testing.assert_close(propose(masker, view)[1:], propose(masker, view[1:]), atol=1e-4, rtol=1e-3)


def test_it_holds_no_buffer_that_a_forward_pass_changes(masker):
    before = {name: value.clone() for name, value in masker.state_dict().items()}
    propose(masker.train(), images(32))
    assert all(torch.equal(value, before[name]) for name, value in masker.state_dict().items())
