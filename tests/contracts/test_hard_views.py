import pytest
import torch

from amask_solo._types import WeightedViews
from amask_solo.hard_views import HardView
from tests.contracts.configs import build, names


@pytest.fixture(params=names("hard_views"))
def hard_view(request):
    return build("hard_views", request.param)


def entry(size=16, batch=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, batch, 3, size, size, generator=generator).to(dtype)
    return WeightedViews((first, second), 0.5, side=1)


def distance(views):
    return (views[0] - views[1]).square().mean()


def played(hard_view, given, seed=0, loss=distance):
    return list(hard_view(iter([given, given]), loss, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "batch"), [(12, 1), (33, 3)])
def test_it_makes_as_many_entries_as_it_says_and_they_count_as_much_as_before(hard_view, size, batch, dtype):
    assert isinstance(hard_view, HardView)
    given = entry(size, batch, dtype)
    entries = played(hard_view, given)
    assert len(entries) == 2 * hard_view.num_entries
    assert float(sum(made.weight for made in entries)) == pytest.approx(1.0)
    for made in entries:
        assert (made.views[1].shape, made.views[1].dtype, made.side) == (given.views[1].shape, dtype, 1)
        assert made.views[1].isfinite().all()


def test_the_other_view_stays_the_very_same(hard_view):
    given = entry()
    assert all(made.views[0] is given.views[0] for made in played(hard_view, given))


def test_the_same_generator_makes_the_same_views_and_the_global_stream_is_left_alone(hard_view):
    before = torch.get_rng_state()
    for one, other in zip(played(hard_view, entry()), played(hard_view, entry()), strict=True):
        assert torch.equal(one.views[1], other.views[1])
        assert float(one.weight) == float(other.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns_and_saves_nothing_and_leaves_the_views_alone(hard_view):
    given = entry()
    played(hard_view, given)
    assert not list(hard_view.parameters())
    assert not hard_view.state_dict()
    assert torch.equal(given.views[1], entry().views[1])


def test_the_gradient_goes_through_to_what_the_view_was_made_of(hard_view):
    scale = torch.ones((), requires_grad=True)
    first, second = entry().views
    entries = played(hard_view, WeightedViews((first, scale * second), 0.5, side=1))
    (gradient,) = torch.autograd.grad(sum(made.weight * made.views[1].square().mean() for made in entries), scale)
    assert gradient > 0


def test_no_gradient_of_an_attack_is_left_on_what_the_objective_is_made_of(hard_view):
    factor = torch.nn.Parameter(torch.ones(()))
    entries = played(hard_view, entry(), loss=lambda views: factor * distance(views))
    assert factor.grad is None
    assert not any(view.requires_grad for made in entries for view in made.views)


def test_an_entry_is_made_when_it_is_asked_for(hard_view):
    # The last call of the host is the one that leaves traces; none of an attack may come after it.
    calls = []
    entries = hard_view([entry()], lambda views: calls.append("attack") or distance(views))
    order = [calls.append("entry") for _ in entries] and calls
    assert order[-1] == "entry"
    assert order.count("entry") == hard_view.num_entries
