import pytest
import torch

from amask_solo.constraints import AreaEntropy, AreaTarget, Overlap, PerMask, WeightedSum
from amask_solo.fills import Zero
from amask_solo.game.game import Game
from amask_solo.game.updates import Board, Reversal
from amask_solo.hard_views import HardView
from amask_solo.localisers import Everywhere
from amask_solo.maskers import RandomMasker, SaliencyMasker, SequentialMasker


def game(masker=None, **settings):
    return Game(masker or SequentialMasker(), Zero(), WeightedSum({}), **settings)


def test_a_constraint_for_another_number_of_masks_is_refused():
    steps = WeightedSum({"steps": PerMask([AreaTarget(0.2), AreaTarget(0.3)])})
    with pytest.raises(ValueError, match=r"expected 2 masks.*makes 3"):
        Game(SequentialMasker(), Zero(), steps)


@pytest.mark.parametrize("part", [Overlap(), AreaEntropy()], ids=lambda part: type(part).__name__)
def test_a_constraint_between_masks_is_refused_where_there_is_a_single_one(part):
    with pytest.raises(ValueError, match="num_masks to 2 or more"):
        Game(RandomMasker(num_masks=1), Zero(), WeightedSum({"part": part}))
    with pytest.raises(ValueError, match="sees a single one"):
        PerMask([WeightedSum({"part": part})])
    Game(RandomMasker(num_masks=2), Zero(), WeightedSum({"part": part}))


def test_masks_that_add_up_are_refused_where_there_is_a_single_one():
    with pytest.raises(ValueError, match="adds masks up"):
        game(RandomMasker(num_masks=1), apply="cumulative")


@pytest.mark.parametrize("sides", [[0, 1], [1, 0]])
def test_with_pairs_the_masks_of_the_first_view_come_first_to_the_constraint(sides):
    pairs = {"first": 1.0, "second": 1.0}
    of_view = PerMask([AreaTarget(0.9), AreaTarget(0.1)])
    played = Game(RandomMasker(num_masks=1), Zero(), of_view, pairs=pairs)
    shown = {0: torch.full((2, 1, 4, 4), 0.9), 1: torch.full((2, 1, 4, 4), 0.1)}
    assert played.penalty(torch.cat([shown[side] for side in sides]), sides) == pytest.approx(0, abs=1e-12)


def no_loss(views):
    raise AssertionError("nothing attacks it")


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def masks(count=6, number=3, size=8):
    return torch.rand(count, number, size, size, generator=source(1))


def test_one_drawn_mask_is_one_of_the_image_s_own():
    proposed = masks()
    shown = game(draw="one").show(proposed, generator=source())
    assert shown.shape == (6, 1, 8, 8)
    assert (shown == proposed).flatten(2).all(dim=2).any(dim=1).all()


def test_growing_occlusion_hides_what_all_masks_so_far_hide():
    proposed = masks().round()
    shown = game(draw="all", apply="cumulative").show(proposed)
    assert torch.equal(shown[:, 2], proposed.amax(dim=1))
    assert (shown.diff(dim=1) >= 0).all()


def test_one_drawn_growing_occlusion_hides_one_to_all_of_the_masks():
    view, playing = torch.randn(30, 3, 16, 16, generator=source(2)), game(draw="one", apply="cumulative")
    unions = playing.occlusions(playing.masker(view))
    shown = playing.show(playing.propose(view), generator=source())
    alike = torch.isclose(shown, unions).flatten(2).all(dim=2)
    assert alike.any(dim=1).all()
    assert alike.any(dim=0).all()


def test_only_the_drawn_mask_is_made_where_no_other_is_needed():
    view = torch.randn(6, 3, 16, 16, generator=source(2))
    assert game(draw="one").propose(view, generator=source()).shape[1] == 1
    costly = Game(SequentialMasker(), Zero(), WeightedSum({"overlap": Overlap()}), draw="one")
    assert costly.propose(view, generator=source()).shape[1] == 3


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_a_share_of_the_images_is_occluded_and_the_others_are_shown_whole(share):
    proposed = masks(count=2000, number=2, size=2) + 0.1
    shown = game(draw="all", share=share).show(proposed, generator=source())
    occluded = shown.flatten(1).any(dim=1)
    assert occluded.float().mean().item() == pytest.approx(share, abs=0.04)
    assert torch.equal(shown[occluded], proposed[occluded])


def test_a_share_of_one_draws_no_random_numbers():
    before, after = source(), source()
    game(draw="all").show(masks(), generator=after)
    assert torch.equal(before.get_state(), after.get_state())


@pytest.mark.parametrize(("reduction", "total"), [("mean", 1.0), ("sum", 3.0)])
def test_weights_of_the_entries(reduction, total):
    views = [torch.randn(6, 3, 8, 8, generator=source(seed)) for seed in (2, 3)]
    entries = list(game(draw="all", reduction=reduction).entries(views, masks(), [1], no_loss, generator=source()))
    assert sum(entry.weight for entry in entries) == pytest.approx(total)
    assert all(entry.views[0] is views[0] for entry in entries)


class Twice(HardView):
    """Makes two entries of one, whatever it says."""

    def __init__(self, says):
        super().__init__()
        self.num_entries = says

    def forward(self, entries, loss, *, generator=None):
        for entry in entries:
            yield entry.harder(entry.views[entry.side], share=0.5)
            yield entry.harder(entry.views[entry.side], share=0.5)


@pytest.mark.parametrize("says", [1, 2, 3])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_hard_views_that_miscount_their_entries_are_refused(says, one_by_one):
    views = [torch.randn(6, 3, 8, 8, generator=source(seed)) for seed in (2, 3)]
    played = game(SequentialMasker(), hard_views=Twice(says))
    board = Board(played, views, [1], lambda views: views[1].mean(), source(), [] if one_by_one else None)
    if says == 2:
        assert Reversal().encoder_turn(board, moves=True).loss.isfinite()
        return
    with pytest.raises(ValueError, match=f"Expected {says} entries of Twice.* got 2; set its num_entries"):
        Reversal().encoder_turn(board, moves=True)


def test_masks_of_an_unlearned_masker_have_their_area():
    found = game(RandomMasker(area=0.25)).propose(torch.zeros(4, 3, 32, 32), generator=source())
    torch.testing.assert_close(found.mean(dim=(2, 3)), torch.full((4, 1), 0.25), atol=0.03, rtol=0)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.5}, {"share": float("nan")}])
def test_a_share_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        game(**wrong)


def test_masks_of_channels_are_shown_together_and_count_as_one():
    masker = SaliencyMasker(Everywhere(), ratio=(0.5, 0.5), separate=1.0)
    view = torch.ones(6, 3, 28, 28)
    for draw in ("one", "all"):
        played = game(masker, draw=draw)
        shown = played.show(played.propose(view, generator=source()))
        (entry,) = played.entries([view, view], shown, [1], no_loss)
        assert (played.num_entries, entry.weight) == (1, 1.0)
        assert torch.equal(entry.views[1], 1 - shown)
        assert entry.views[1].mean().item() == pytest.approx(0.5, abs=0.02)


def test_masks_of_channels_do_not_grow():
    with pytest.raises(ValueError, match="single channels"):
        game(SaliencyMasker(Everywhere(), separate=0.5), apply="cumulative")
