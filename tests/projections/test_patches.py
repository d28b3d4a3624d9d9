import math

import jaxtyping
import pytest
import torch

from amask_solo.errors import UserError
from amask_solo.maskers import SequentialMasker, SimultaneousMasker
from amask_solo.projections import AreaBudget, Binary, Disjoint, GumbelTopK, Patches, Sigmoid
from tests.projections.test_projections import make_logits


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient(masks, logits):
    weight = torch.rand(masks.shape, generator=source(1))
    return torch.autograd.grad((weight * masks).sum(), logits)[0]


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("area", [0.1, 0.25, 0.8])
def test_a_draw_hides_exactly_its_share(area, scale):
    masks = GumbelTopK(area)(make_logits("normal", scale), generator=source())
    assert sorted(masks.unique().tolist()) == [0, 1]
    assert (masks.sum(dim=(-2, -1)) == round(area * 108)).all()


def test_a_draw_takes_its_numbers_from_the_generator_alone():
    logits, before = make_logits("normal", 1.0), torch.get_rng_state()
    first, again, other = (GumbelTopK(0.3)(logits, generator=source(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_of_a_draw_comes_up_as_often_as_a_softmax_says():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).view(1, 1, 2, 2)
    found = GumbelTopK(0.25)(logits.expand(20_000, 1, 2, 2), generator=source()).mean(dim=0).flatten()
    torch.testing.assert_close(found, logits.flatten().softmax(dim=0), atol=0.015, rtol=0)


def test_the_temperature_is_that_of_the_gradient_not_of_the_draw():
    logits = make_logits("normal", 1.0).requires_grad_()
    cold, warm = (GumbelTopK(0.3, temperature=t)(logits, generator=source()) for t in (0.1, 1.0))
    assert torch.equal(cold, warm)
    touched = [(gradient(masks, logits).abs() > 1e-3).float().mean() for masks in (cold, warm)]
    assert 0 < touched[0] < touched[1]


@pytest.mark.parametrize("inner", [Binary(AreaBudget(0.25)), GumbelTopK(0.25), AreaBudget(0.25), Sigmoid()])
@pytest.mark.parametrize(("size", "patches"), [((32, 32), 16), ((33, 20), 15)])
def test_masks_are_constant_on_patches(inner, size, patches):
    logits = torch.randn(2, 3, *size, generator=source()).requires_grad_()
    masks = Patches(inner, patch_size=8)(logits, generator=source())
    corners = masks[..., ::8, ::8]
    assert corners[0, 0].numel() == patches
    assert torch.equal(masks, corners.repeat_interleave(8, 2).repeat_interleave(8, 3)[..., : size[0], : size[1]])
    assert gradient(masks, logits).abs().max() > 0
    if not isinstance(inner, Sigmoid | AreaBudget):
        assert (corners.sum(dim=(-2, -1)) == round(patches / 4)).all()


def test_a_patch_has_the_mean_of_its_scores():
    logits = make_logits("normal", 1.0)[..., :9, :]
    cell = Patches(Sigmoid(), patch_size=3)(logits)[..., 4, 7]
    torch.testing.assert_close(cell, logits[..., 3:6, 6:9].mean(dim=(-2, -1)).sigmoid())


def test_binary_decides_by_patches_as_well():
    logits = make_logits("normal", 1.0)
    inside, outside = Patches(Binary(AreaBudget(0.3)), patch_size=3), Binary(Patches(AreaBudget(0.3), patch_size=3))
    assert torch.equal(inside(logits), outside(logits))


@pytest.mark.parametrize("drawn", [False, True])
def test_patches_are_drawn_once_in_a_sequence(drawn):
    masker = SequentialMasker(3, projection=Disjoint(Patches(GumbelTopK(0.25), patch_size=8)))
    images = torch.randn(6, 3, 32, 32, generator=source())
    masks = (masker.draw_one if drawn else masker)(images, generator=source())
    assert (masks[..., ::8, ::8].sum(dim=(-2, -1)) == 4).all()
    assert masks.sum(dim=1).max() == 1


def test_a_patch_that_is_hidden_in_part_has_no_room():
    hidden = torch.zeros(1, 1, 16, 16)
    hidden[..., 3, 3] = 1
    masks = Disjoint(Patches(Binary(Sigmoid()), patch_size=8))(torch.full((1, 1, 16, 16), 9.0), hidden)
    assert masks[..., :8, :8].sum() == 0
    assert masks.sum() == 3 * 64


@pytest.mark.parametrize("inner", [GumbelTopK(0.1), Binary(AreaBudget(0.1)), Binary(AreaBudget([0.05, 0.1]))])
def test_so_few_patches_that_none_would_be_hidden_are_refused(inner):
    with pytest.raises(UserError, match="none of the 4 pixels or patches"):
        Patches(inner, patch_size=16)(torch.randn(3, 1, 32, 32))
    assert Patches(inner, patch_size=8)(torch.randn(3, 1, 32, 32)).mean() > 0.05


def test_five_quarters_of_the_patches_are_refused():
    with pytest.raises(ValueError, match="room for all of them"):
        SequentialMasker(5, projection=Disjoint(Patches(GumbelTopK(0.25))))


def test_an_exact_share_is_no_range():
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match="area"):
        GumbelTopK([0.2, 0.4])


def test_drawn_masks_hide_what_the_masker_scores_high():
    torch.manual_seed(0)
    masker = SimultaneousMasker(1, projection=Patches(GumbelTopK(0.25), patch_size=8), resolution=1.0)
    masker.network = torch.nn.Conv2d(3, 1, 1)
    optimizer = torch.optim.Adam(masker.parameters(), lr=0.1)
    left = torch.zeros(8, 3, 32, 32)
    left[..., :16] = 1
    for step in range(40):
        gain = (masker(left, generator=source(step)) * left[:, :1]).mean()
        optimizer.zero_grad()
        (-gain).backward()
        optimizer.step()
    shares = (masker(left, generator=source(99)) * left[:, :1]).sum() / 8 / 256
    assert shares > 0.8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GumbelTopK(1.0), "Expected area"),
        (lambda: GumbelTopK(0.25, temperature=0.0), "temperature to be positive"),
        (lambda: GumbelTopK(0.25, temperature=math.inf), "temperature to be positive"),
        (lambda: Patches(Sigmoid(), patch_size=0), "patch_size"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
