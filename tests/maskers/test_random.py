import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from amask_solo.errors import UserError
from amask_solo.maskers import AnyOf, BandNoise, Block, Centered, Disk, Focal, Grid, RandomMasker

areas = st.floats(0.05, 0.95)
sizes = st.integers(8, 70)


def draw(pattern, area, height, width, *, count=16, seed=0):
    masker = RandomMasker(pattern, area=area, num_masks=2)
    generator = torch.Generator().manual_seed(seed)
    return masker(torch.zeros(count, 3, height, width), generator=generator)


def area_of(masks):
    return masks.mean(dim=(-2, -1))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([Block(), Block([1.0, 1.0]), Focal()]), areas, sizes, sizes)
def test_the_area_is_right_to_half_a_column(pattern, area, height, width):
    masks = draw(pattern, area, height, width)
    assert (area_of(masks) - area).abs().max() <= 0.5 / width + 1e-6


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([Centered(), Disk(), BandNoise(), BandNoise([0.01, 0.5])]), areas, sizes, sizes)
def test_the_area_is_right_to_half_a_pixel(pattern, area, height, width):
    masks = draw(pattern, area, height, width)
    assert (area_of(masks) - area).abs().max() <= 0.5 / (height * width) + 1e-6


@settings(deadline=None, max_examples=30)
@given(areas, st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_the_area_of_a_grid_is_right_to_half_a_patch(area, rows, columns, patch):
    assume(0 < round(area * rows * columns) < rows * columns)
    masks = draw(Grid(patch), area, rows * patch, columns * patch)
    assert (area_of(masks) - area).abs().max() <= 0.5 / (rows * columns) + 1e-6


@pytest.mark.parametrize(
    ("pattern", "area", "said"),
    [
        (Grid(32), 0.25, "none of the 1"),
        (Grid(32), 0.75, "all of the 1"),
        (Grid(16), 0.1, "none of the 4"),
        (Block(), 1e-4, "none of the 1024"),
        (Focal(), 1 - 1e-4, "none of the 1024"),
        (Disk(), 1 - 1e-4, "all of the 1024"),
    ],
)
def test_a_control_that_would_hide_nothing_or_everything_is_refused(pattern, area, said):
    with pytest.raises(UserError, match=said):
        draw(pattern, area, 32, 32)


@pytest.mark.parametrize("pattern", [Block(), Focal(), Grid(8), BandNoise(), Disk(), AnyOf([Block(), Disk()])])
def test_masks_are_binary_and_differ_between_images_and_masks(pattern):
    masks = draw(pattern, 0.4, 32, 40)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert len({mask.numpy().tobytes() for mask in masks.flatten(0, 1)}) > 20


def test_a_block_is_one_rectangle():
    for mask in draw(Block(), 0.3, 32, 48).flatten(0, 1):
        rows, columns = mask.amax(dim=1), mask.amax(dim=0)
        assert (mask == rows[:, None] * columns[None]).all()
        assert (rows.diff() != 0).sum() <= 2
        assert (columns.diff() != 0).sum() <= 2


def test_blocks_have_different_shapes_and_reach_all_places():
    masks = draw(Block(), 0.25, 32, 32, count=300).flatten(0, 1)
    heights = masks.amax(dim=2).sum(dim=1)
    assert heights.min() <= 10
    assert heights.max() >= 26
    coverage = masks.mean(dim=0)
    assert coverage.min() > 0
    assert (coverage - coverage.flip(0)).abs().max() < 0.12


def test_a_focal_mask_shows_one_square_window():
    for mask in draw(Focal(), 0.75, 32, 32).flatten(0, 1):
        shown = 1 - mask
        assert shown.amax(dim=1).sum() == 16
        assert shown.amax(dim=0).sum() == 16


def test_a_grid_hides_whole_patches():
    masks = draw(Grid(8), 0.5, 32, 40)
    for mask in masks.flatten(0, 1):
        patches = mask.unfold(0, 8, 8).unfold(1, 8, 8).flatten(2)
        assert (patches == patches[..., :1]).all()


def test_a_centered_mask_is_the_same_disk_for_all_images():
    masks = draw(Centered(), 0.25, 32, 48).flatten(0, 1)
    assert (masks == masks[0]).all()
    assert torch.equal(masks[0].flip(0), masks[0])
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(48) - 23.5, indexing="ij")
    distance = y.hypot(x)
    assert distance[masks[0] > 0].max() <= distance[masks[0] == 0].min()


def test_disks_reach_all_places_and_are_round():
    masks = draw(Disk(), 0.1, 32, 48, count=300).flatten(0, 1)
    assert masks.mean(dim=0).min() > 0
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    inner = [mask for mask in masks if not mask[[0, -1]].any() and not mask[:, [0, -1]].any()]
    for mask in inner:
        middle = [(mask * place).sum() / mask.sum() for place in (y, x)]
        distance = (y - middle[0]).hypot(x - middle[1])
        assert distance[mask > 0].max() <= distance[mask == 0].min() + 1.0
    assert len(inner) > 20


def test_any_of_several_patterns_draws_each_equally_often():
    masks = draw(AnyOf([Centered(), Block(), Disk()]), 0.25, 32, 32, count=600).flatten(0, 1)
    middle = draw(Centered(), 0.25, 32, 32, count=1)[0, 0]
    assert (masks == middle).all(dim=(1, 2)).float().mean() == pytest.approx(1 / 3, abs=0.05)


def runs(masks):
    """Return the mean length of the hidden stretches in the rows of masks."""
    starts = (masks.diff(dim=-1) > 0).sum() + masks[..., 0].sum()
    return (masks.sum() / starts).item()


def test_the_spots_of_noise_grow_with_the_image_and_with_the_deviation():
    small, large = (runs(draw(BandNoise(), 0.25, size, size)) for size in (32, 64))
    assert large / small == pytest.approx(2, rel=0.15)
    assert runs(draw(BandNoise([1 / 16, 1 / 4]), 0.25, 32, 32)) > 1.5 * small


def test_noise_hides_every_place_equally_often():
    coverage = draw(BandNoise(), 0.25, 32, 32, count=400).flatten(0, 1).mean(dim=0)
    assert coverage.min() > 0.15
    assert coverage.max() < 0.36


@pytest.mark.parametrize(
    "make",
    [
        lambda: AnyOf([]),
        lambda: BandNoise([0.1, 0.1]),
        lambda: BandNoise([0.0, 0.1]),
        lambda: Block([0.0, 1.0]),
        lambda: Block([2.0, 1.0]),
        lambda: Grid(0),
        lambda: RandomMasker(area=0.0),
        lambda: RandomMasker(area=1.0),
        lambda: RandomMasker(num_masks=0),
    ],
)
def test_wrong_settings_are_refused(make):
    with pytest.raises(ValueError, match="Expected"):
        make()
