"""Games of which it is known how strong the masks are."""

import math

import pytest
import torch

from amask_solo.constraints import WeightedSum
from amask_solo.fills import Noise, Zero
from amask_solo.game.advantage import (
    advantage_statistics,
    diagnose_advantage,
    measure_lifts,
    ratio,
)
from amask_solo.game.game import Game
from amask_solo.maskers import RandomMasker
from amask_solo.maskers.base import Masker

SIZE = 16


class Told(Masker):
    """Hides what it is told to: for each image, N squares of a quarter by the number of their corner."""

    def __init__(self, corners: list[list[int]]) -> None:
        super().__init__()
        self.corners, self.num_masks = corners, len(corners[0])

    def forward(self, images, *, generator=None):
        masks = images.new_zeros(len(images), self.num_masks, SIZE, SIZE)
        for b, n in ((b, n) for b in range(len(images)) for n in range(self.num_masks)):
            masks[b, n][corner(self.corners[b][n])] = 1
        return masks


def corner(number: int) -> tuple[slice, slice]:
    half = SIZE // 2
    return tuple(slice(half * bit, half * bit + half) for bit in divmod(number, 2))


def lit(corners: list[int]) -> torch.Tensor:
    """Return images that are dark but for one quarter each."""
    images = torch.zeros(len(corners), 3, SIZE, SIZE)
    for image, number in zip(images, corners, strict=True):
        image[:, *corner(number)] = 1
    return images


def light_lost(views):
    """An objective that rises with all that is hidden of the light."""
    return 2.0 + (views[0] - views[1]).mean()


def lifts(masker: Masker, corners: list[int], *, side: int = 1, **settings) -> torch.Tensor:
    views = [lit(corners), lit(corners)]
    game = Game(masker, settings.pop("fill", Zero()), WeightedSum({}), **settings)
    loss = light_lost if side == 1 else lambda views: light_lost(views[::-1])
    return measure_lifts(game, loss, views, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [0, 1])
def test_masks_that_hide_what_counts_lift_the_loss_by_all_of_it_and_blocks_by_their_share(side):
    seen = [number % 4 for number in range(400)]
    own, blocks, others = lifts(Told([[number] for number in seen]), seen, side=side)[:, 0]
    assert own == pytest.approx(0.25)  # all light of a quarter of each image
    assert others == pytest.approx(0.0, abs=1e-6)  # the image before has its light elsewhere
    assert blocks == pytest.approx(0.25 * 0.25, rel=0.2)  # a block anywhere hides a quarter of it on average


def test_a_mask_that_is_the_same_for_all_images_does_not_look_at_them():
    own, _, others = lifts(Told([[3]] * 8), [3] * 8)[:, 0]
    assert own == others == pytest.approx(0.25)


def test_each_mask_is_measured_alone_or_with_those_before_it():
    seen = [0, 1, 2, 3]
    masker = Told([[number, (number + 1) % 4] for number in seen])
    alone, together = lifts(masker, seen), lifts(masker, seen, apply="cumulative")
    assert alone[0].tolist() == pytest.approx([0.25, 0.0])
    assert together[0].tolist() == pytest.approx([0.25, 0.25])
    assert together[2].tolist() == pytest.approx([0.0, 0.25])  # the image before hides this one's light as its second


@pytest.mark.parametrize("setting", [{"draw": "all"}, {"share": 0.5}, {"reduction": "sum", "draw": "all"}])
def test_how_many_masks_and_images_are_shown_in_training_does_not_matter(setting):
    masker = Told([[0, 1], [1, 2]])
    assert torch.equal(lifts(masker, [0, 1], **setting), lifts(masker, [0, 1]))


def test_random_blocks_have_an_advantage_and_an_attention_of_one():
    samples = torch.stack([lifts(RandomMasker(area=0.25, num_masks=2), [0, 1, 2, 3] * 100) for _ in range(2)])
    found = advantage_statistics(samples)
    assert found["advantage"] == pytest.approx(1, rel=0.15)
    assert found["attention"] == pytest.approx(1, rel=0.15)


def test_all_three_kinds_are_filled_with_the_same_noise():
    # Masks of everything are the same for all images, and so are the blocks.
    class Everything(Masker):
        num_masks = 1

        def forward(self, images, *, generator=None):
            return torch.ones_like(images[:, :1])

    own, blocks, others = lifts(Everything(), [0, 1], fill=Noise())[:, 0]
    assert own == blocks == others


def test_measuring_needs_no_gradient_and_leaves_none():
    masker = Told([[0], [1]])
    masker.scale = torch.nn.Parameter(torch.ones(()))
    found = lifts(masker, [0, 1])
    assert not found.requires_grad
    assert masker.scale.grad is None


def test_the_ratio_is_that_of_the_sums():
    tops, bottoms = torch.tensor([0.3, 0.1, 0.2]), torch.tensor([0.05, 0.15, 0.1])
    assert ratio(tops, bottoms).value == pytest.approx(2.0)


def test_the_error_is_how_much_the_ratio_varies_between_samples():
    draw = torch.Generator().manual_seed(0)
    tops, bottoms = (mean + 0.02 * torch.randn(2000, 20, generator=draw) for mean in (0.1, 0.05))
    ratios = [ratio(*pair) for pair in zip(tops, bottoms, strict=True)]
    values, errors = (torch.tensor(column) for column in zip(*ratios, strict=True))
    assert errors.mean() == pytest.approx(values.std().item(), rel=0.1)


@pytest.mark.parametrize(
    "bottoms", [[0.1], [0.0, 0.0], [-0.1, -0.1], [0.3, -0.1], [0.1, math.nan], [0.1, math.inf]], ids=str
)
def test_without_a_rival_that_clearly_lifts_the_loss_there_is_no_ratio(bottoms):
    assert all(math.isnan(number) for number in ratio(torch.ones(len(bottoms)), torch.tensor(bottoms)))


def test_the_ratios_of_all_masks_are_those_of_their_sums():
    samples = torch.tensor([[[0.3, 0.1], [0.1, 0.3], [0.2, 0.05]]]).repeat(3, 1, 1)
    found = advantage_statistics(samples)
    assert {name: value for name, value in found.items() if "error" not in name} == pytest.approx(
        {
            "advantage": 1.0,
            "advantage_1": 3.0,
            "advantage_2": 1 / 3,
            "attention": 1.6,
            "attention_1": 1.5,
            "attention_2": 2.0,
        }
    )


def known(*masks: tuple[str, float, float]) -> dict[str, float]:
    values = {name: value for name, value, _ in masks}
    return values | {f"{name}_error": error for name, _, error in masks}


def test_weak_and_blind_masks_are_named_by_their_numbers_with_cause_and_remedy():
    found = known(
        ("advantage", 1.5, 0.1),
        ("advantage_1", 2.0, 0.1),
        ("advantage_2", 0.7, 0.1),
        ("attention_1", 1.0, 0.1),
        ("attention_2", 1.4, 0.1),
    )
    weak, blind = diagnose_advantage(found)
    assert (weak.kind, blind.kind) == ("weak", "blind")
    assert "weaker than chance: number 2 (0.70) of 2" in str(weak)
    assert "do not look at the image: number 1 (1.00) of 2" in str(blind)
    assert all("Likely cause: " in str(finding) and "Try: " in str(finding) for finding in (weak, blind))


@pytest.mark.parametrize(("value", "error"), [(1.3, 0.1), (0.7, 0.3), (math.nan, math.nan)])
def test_strong_masks_and_those_of_which_too_little_is_known_raise_no_finding(value, error):
    found = known(("advantage", 0.1, 0.0), ("advantage_1", value, error), ("attention_1", value, error))
    assert diagnose_advantage(found) == []
