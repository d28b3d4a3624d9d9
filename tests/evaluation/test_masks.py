"""Maskers of which it is known how well their masks match the objects."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch import nn

from amask_solo.data import ArrayImages, ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.masks import (
    MaskMatch,
    adjusted_rand_index,
    center_masks,
    cut,
    heart,
    match,
    partition,
)
from amask_solo.evaluation.protocol import Subject
from amask_solo.localisers import BackboneMap, Localiser
from amask_solo.maskers import RandomMasker, SaliencyMasker, SequentialMasker, SimultaneousMasker, random_blocks
from amask_solo.maskers.base import Masker

SUFFIXES = ("", "_random", "_center", "_shuffled")


class Knowing(Masker):
    """Knows the objects, as their pixels alone are white in :func:`told`, and hides what it is told to."""

    def __init__(self, answer=lambda objects: objects):
        super().__init__()
        self.answer = answer
        self.num_masks = 1

    def forward(self, images, *, generator=None):
        return self.answer((images > 0).all(dim=1, keepdim=True).float())


def told(masker, *, count=24, batch_size=256, draws=0):
    """Make a subject whose images are white where the object is and black elsewhere."""
    masks = make_shapes(num_train=count, num_val=0, image_size=32).train.masks
    images = ArrayImages(masks.expand(-1, 3, -1, -1).to(torch.uint8) * 255, torch.full((count,), -1), masks)
    data = ImageData(images, images, 1, [], (0.5,) * 3, (0.5,) * 3, 32, "told")
    model = nn.Identity()
    model.num_features = 1
    return Subject(Backbone(model), data, masker, batch_size=batch_size, seed=draws)


def test_a_masker_that_knows_the_objects_gets_everything():
    scores = MaskMatch()(told(Knowing()))
    assert {name + suffix for name in ("iou", "ari", "pointing") for suffix in SUFFIXES} == set(scores)
    assert [scores[name] for name in ("iou", "ari", "pointing")] == pytest.approx([100, 100, 100])
    for suffix in SUFFIXES[1:]:
        assert scores[f"iou{suffix}"] < 70
        assert scores[f"ari{suffix}"] < 70


def test_void_pixels_count_in_no_score():
    made = told(Knowing(lambda objects: torch.maximum(objects, objects.roll(2, dims=-1))))  # two columns too far
    assert MaskMatch()(made)["iou"] < 95
    images = made.data.val
    images.void = images.masks.roll(2, dims=-1) & ~images.masks
    scores = MaskMatch()(made)
    assert [scores[name] for name in ("iou", "ari", "pointing")] == pytest.approx([100, 100, 100])


def test_soft_masks_are_scored_at_their_own_area():
    """The cut of a veil that is denser over the object holds all of it, or lies within it."""
    scores = MaskMatch()(told(Knowing(lambda objects: 0.1 + 0.8 * objects)))
    area = told(None).data.val.masks.float().mean(dim=(1, 2, 3))
    ratio = (0.1 + 0.8 * area) / area
    assert scores["iou"] == pytest.approx(100 * torch.minimum(ratio, 1 / ratio).mean().item(), abs=0.5)


def test_one_good_mask_among_many_is_enough_for_iou_and_pointing():
    def with_noise(objects):
        others = torch.rand(len(objects), 3, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.2
        return torch.cat([others.float(), objects], dim=1)

    scores = MaskMatch()(told(Knowing(with_noise)))
    assert (scores["iou"], scores["pointing"]) == pytest.approx((100, 100))
    assert scores["ari"] < 70


def test_a_mask_of_the_background_divides_the_image_rightly_but_does_not_find_the_object():
    scores = MaskMatch()(told(Knowing(lambda objects: 1 - objects)))
    assert scores["ari"] == pytest.approx(100)
    assert (scores["iou"], scores["pointing"]) == (0, 0)


def test_masks_that_share_the_image_out_divide_it_rightly():
    def shares(objects):
        return torch.cat([0.4 + 0.2 * objects, 0.6 - 0.2 * objects], dim=1)

    assert MaskMatch()(told(Knowing(shares)))["ari"] == pytest.approx(100)


@pytest.mark.parametrize("num_masks", [1, 3])
def test_a_random_masker_is_as_good_as_its_baselines(num_masks):
    scores = MaskMatch()(told(RandomMasker(num_masks=num_masks), count=512))
    assert scores["iou"] == pytest.approx(scores["iou_random"], abs=3)
    assert scores["iou"] == pytest.approx(scores["iou_shuffled"], abs=3)
    assert scores["ari"] == pytest.approx(scores["ari_random"], abs=5)
    assert scores["pointing"] == pytest.approx(scores["pointing_random"], abs=10)


def test_more_random_masks_fit_better_and_so_do_their_baselines():
    one, many = (MaskMatch()(told(RandomMasker(num_masks=n), count=128)) for n in (1, 6))
    assert many["iou"] > one["iou"] + 10
    assert many["iou_random"] > one["iou_random"] + 10


def test_masks_that_ignore_the_image_are_no_better_than_shuffled_ones():
    def center(objects):
        mask = torch.zeros_like(objects)
        mask[..., 8:24, 8:24] = 1
        return mask

    scores = MaskMatch()(told(Knowing(center)))
    assert scores["iou"] == pytest.approx(scores["iou_shuffled"])
    assert scores["iou"] == pytest.approx(scores["iou_center"], abs=3)


@pytest.mark.parametrize("masker", [SequentialMasker, SimultaneousMasker])
def test_learned_maskers_are_scored_the_same_for_the_same_seed(masker):
    torch.manual_seed(0)
    untrained = masker().eval()
    first, again, other = (MaskMatch()(told(untrained, batch_size=7, draws=draws)) for draws in (0, 0, 1))
    assert first == again
    assert first["iou"] == pytest.approx(other["iou"])
    assert first["iou_random"] != other["iou_random"]
    assert all(-50 < score <= 100 for score in first.values())


@pytest.mark.parametrize("batch_size", [1, 2, 5, 23, 24, 25])
def test_the_other_image_is_another_one_for_any_batch_size(batch_size):
    """With one bright pixel each, in another place, masks of another image never fit."""
    masks = torch.eye(24, dtype=torch.bool).view(24, 1, 24, 1).repeat(1, 1, 1, 24)
    images = ArrayImages(masks.expand(-1, 3, -1, -1).to(torch.uint8) * 255, torch.full((24,), -1), masks)
    subject = told(Knowing(), batch_size=batch_size)
    subject.data = ImageData(images, images, 1, [], (0.5,) * 3, (0.5,) * 3, 24, "rows")
    scores = MaskMatch()(subject)
    assert (scores["iou"], scores["iou_shuffled"]) == (pytest.approx(100), 0)


def test_images_without_an_object_do_not_count():
    subject = told(Knowing())
    subject.data.val.masks[::2] = False
    subject.data.val.images[::2] = 0
    assert MaskMatch()(subject)["iou"] == pytest.approx(100)
    subject.data.val.masks[:] = False
    with pytest.raises(UserError, match="shows an object"):
        MaskMatch()(subject)


def test_a_run_without_masker_is_told_so():
    with pytest.raises(UserError, match=r"has none.*amask"):
        MaskMatch()(told(None))


class White(Localiser):
    """Finds the objects, which are white, or by chance what is not."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def forward(self, images):
        return self.sign * images.mean(dim=1, keepdim=True)


def test_the_localiser_of_a_run_is_scored_beside_its_masks():
    scores = MaskMatch()(told(SaliencyMasker(White(), grid=16), count=48))
    assert {f"{p}{n}{s}" for p in ("", "localiser_") for n in ("iou", "ari", "pointing") for s in SUFFIXES} == set(
        scores
    )
    assert scores["localiser_iou"] > 40 > scores["localiser_iou_random"]
    assert scores["localiser_iou"] > scores["localiser_iou_center"] + 5
    assert scores["iou"] < 40
    away = MaskMatch()(told(SaliencyMasker(White(-1.0), grid=16), count=48))
    assert away["localiser_iou"] < scores["localiser_iou_shuffled"]


def test_a_localiser_is_scored_on_a_run_without_masker():
    scores = MaskMatch(localiser=White())(told(None))
    assert {name.removeprefix("localiser_") for name in scores} == {
        n + s for n in ("iou", "ari", "pointing") for s in SUFFIXES
    }
    assert scores["localiser_iou"] > scores["localiser_iou_random"] + 10


def test_a_localiser_looks_through_the_backbone_of_the_run():
    subject = told(None)
    subject.backbone.maps = lambda images: images
    scores = MaskMatch(localiser=BackboneMap())(subject)
    # All pixels of these images are as far from zero.
    assert scores["localiser_iou"] == pytest.approx(100 * subject.data.val.masks.float().mean().item(), abs=1)


def test_data_without_masks_are_refused():
    subject = told(Knowing())
    subject.data.val.masks = None
    with pytest.raises(UserError, match="data=shapes or data=image_masks"):
        MaskMatch()(subject)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), size=st.integers(2, 12), parts=st.integers(1, 5), near=st.booleans())
def test_the_rand_index_is_that_of_scikit_learn(seed, size, parts, near):
    draw = torch.Generator().manual_seed(seed)
    objects = torch.rand(3, size, size, generator=draw) > 0.6
    found = torch.randint(0, parts, objects.shape, generator=draw)
    if near:
        found = torch.where(torch.rand(found.shape, generator=draw) < 0.8, objects.long(), found)
    expected = [adjusted_rand_score(o.flatten(), f.flatten()) for o, f in zip(objects, found, strict=True)]
    assert adjusted_rand_index(found, objects.long()).tolist() == pytest.approx(expected, abs=1e-6)


def test_two_images_in_one_piece_agree():
    whole = torch.zeros(2, 4, 4, dtype=torch.long)
    assert adjusted_rand_index(whole, whole).tolist() == [1, 1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), size=st.integers(2, 16))
def test_the_cut_keeps_the_area_and_takes_the_most_hidden_pixels(seed, size):
    masks = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) ** 2
    hard = cut(masks)
    assert torch.equal(hard.sum(dim=(-2, -1)), masks.sum(dim=(-2, -1)).round().long())
    lowest = masks.masked_fill(~hard, math.inf).amin(dim=(-2, -1))
    highest = masks.masked_fill(hard, -math.inf).amax(dim=(-2, -1))
    assert (lowest >= highest).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_hard_masks_stay_as_they_are_when_cut(value):
    masks = (torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    masks[0, 0] = value
    assert torch.equal(cut(masks).float(), masks)


def test_a_pixel_belongs_to_the_mask_that_hides_most_of_it():
    masks = torch.tensor([[0.1, 0.7, 0.0, 0.4], [0.2, 0.3, 0.0, 0.5]]).view(1, 2, 2, 2)
    assert partition(masks).flatten().tolist() == [0, 1, 0, 2]


def test_the_heart_is_the_middle_of_a_mask_and_inside_it():
    square = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    square[..., 4:13, 20:29] = True
    assert heart(square).nonzero()[0, 2:].tolist() == [8, 24]
    ring = square.clone()
    ring[..., 7:10, 23:26] = False
    assert heart(ring).sum() == 1
    assert (heart(ring) & ring).any()
    assert not heart(torch.zeros_like(square)).any()


def test_a_speck_beside_a_large_blob_is_not_the_heart():
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[..., 0:2, 0:2] = True
    mask[..., 16:28, 14:26] = True
    row, column = heart(mask).nonzero()[0, 2:].tolist()
    assert 16 <= row < 28
    assert 14 <= column < 26


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), size=st.integers(8, 24))
def test_the_rivals_have_the_areas_of_the_masks(seed, size):
    draw = torch.Generator().manual_seed(seed)
    masks = (torch.rand(4, 3, size, size, generator=draw) < torch.rand(4, 3, 1, 1, generator=draw)).float()
    masks[0, 0] = 0
    area = masks.sum(dim=(-2, -1))
    assert torch.equal(center_masks(masks).sum(dim=(-2, -1)), area)
    drawn = random_blocks(masks, generator=draw)
    assert set(drawn.unique().tolist()) <= {0, 1}
    torch.testing.assert_close(drawn.sum(dim=(-2, -1)), area, atol=size / 2 + 1, rtol=0)


def test_the_disc_is_in_the_center():
    disc = center_masks(torch.full((1, 1, 32, 32), 0.25))[0, 0]
    assert torch.equal(disc, disc.flip(0))
    assert disc[15:17, 15:17].all()
    radius = math.sqrt(256 / math.pi)
    assert disc.amax(dim=0).sum().item() == pytest.approx(2 * radius, abs=2)


def test_scores_of_a_square_are_known():
    objects = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    objects[..., 4:12, 4:12] = True
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 8:16] = 1
    scores = match(mask, objects, torch.ones_like(objects))
    assert scores["iou"].item() == pytest.approx(1 / 3)
    assert scores["pointing"].item() in (0, 1)
    assert match(objects.float(), objects, torch.ones_like(objects))["pointing"].item() == 1
