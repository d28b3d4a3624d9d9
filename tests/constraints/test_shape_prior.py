from functools import partial

import pytest
import torch
from torch.nn import functional as F

from amask_solo.constraints import InverseSine, ShapePrior, WeightedSum
from amask_solo.constraints.shape_prior import rectangles
from amask_solo.fills import Zero
from amask_solo.game.adversary import Adversary
from amask_solo.game.game import Game
from amask_solo.maskers import Masker, RandomMasker, SimultaneousMasker
from amask_solo.projections import AreaBudget


@pytest.fixture
def prior():
    torch.manual_seed(0)
    return ShapePrior((0.2, 0.3))


@pytest.fixture
def masks():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 2, 32, 32, generator=generator).requires_grad_()


def judged(prior, masks):
    """Return what the discriminator says of each mask, without another step of its normalization."""
    return prior.eval().discriminator(F.interpolate(masks.flatten(0, 1)[:, None], size=(16, 16), mode="area"))


def test_the_masker_pays_as_the_generator_of_a_least_squares_gan(prior, masks):
    penalty = prior.eval()(masks)
    expected = (judged(prior, masks) - 1).square().mean() * 2
    torch.testing.assert_close(penalty, expected)
    found, wanted = (torch.autograd.grad(value, masks)[0] for value in (penalty, expected))
    torch.testing.assert_close(found, wanted)
    assert wanted.abs().max() > 0


def test_the_discriminator_gets_the_gradient_of_its_own_loss_alone(prior, masks):
    parameters = list(prior.parameters())
    found = torch.autograd.grad(prior.eval()(masks), parameters)
    true, false = prior.discriminator(prior.rectangles), judged(prior, masks.detach())
    expected = torch.autograd.grad(((true - 1).square().mean() + false.square().mean()) / 2, parameters)
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)
        assert wanted.abs().max() > 0


def test_the_rectangles_are_rectangles_of_the_areas_asked_for():
    drawn = rectangles(0.3, 0.5)[:, 0]
    areas = drawn.mean(dim=(-2, -1))
    assert 0.3 - 1e-4 < areas.min() < 0.31
    assert 0.49 < areas.max() < 0.5 + 1e-4
    # The product of a row and a column, both without a gap.
    rows, columns = drawn.amax(dim=2), drawn.amax(dim=1)
    peak = drawn.amax(dim=(1, 2))[:, None, None]
    torch.testing.assert_close(drawn * peak, rows[:, :, None] * columns[:, None, :])
    for line in (rows, columns):
        assert ((line > 0).int().diff(dim=1).abs().sum(dim=1) <= 2).all()
    # Everywhere in the image, and both high and wide ones.
    assert (drawn.mean(dim=0) > 0.01).all()
    height, width = rows.sum(dim=1), columns.sum(dim=1)
    assert (height > 2 * width).any()
    assert (width > 2 * height).any()


class FreeMasks(Masker):
    """A quarter of four small images, with a parameter for each pixel."""

    num_masks = 1

    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) / 10)

    def forward(self, images, *, generator=None):
        return AreaBudget(0.25)(self.scores)


def edges(masks):
    return masks.diff(dim=-1).abs().mean() + masks.diff(dim=-2).abs().mean()


def test_one_optimizer_trains_both_until_scattered_masks_become_shapes(prior):
    game = Game(FreeMasks(), Zero(), WeightedSum({"shape": prior}))
    adversary = Adversary(game, optimizer=partial(torch.optim.AdamW, lr=1e-2))
    adversary.start()
    for _ in range(120):
        adversary.gather(game.constraint(game.masker(torch.zeros(4, 3, 16, 16))))
        adversary.move(0.0, lambda optimizer: optimizer.step())
    masks = game.masker(torch.zeros(4, 3, 16, 16))
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    scattered = masks.flatten(2)[..., order].view_as(masks)
    assert edges(masks) < edges(scattered) / 2


def test_what_a_masker_pays_is_learned_beside_it_and_not_without_it():
    def learned(masker, constraint):
        return len(Adversary(Game(masker, Zero(), constraint)).learned())

    masker = SimultaneousMasker(2)
    own = len(list(masker.parameters()))
    assert learned(masker, WeightedSum({"area": InverseSine()})) == own
    assert learned(masker, WeightedSum({"shape": ShapePrior()})) == own + 6
    assert learned(RandomMasker(), WeightedSum({"shape": ShapePrior()})) == 0


@pytest.mark.parametrize("area", [(0.3, 0.2), (0.0, 0.5), (0.5, 1.0), (0.5,)])
def test_impossible_areas_are_refused(area):
    with pytest.raises(ValueError, match="Expected area"):
        ShapePrior(area)


def test_a_discriminator_needs_channels():
    with pytest.raises(ValueError, match="width"):
        ShapePrior(width=0)
