import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amask_solo.data import make_shapes


@pytest.fixture(scope="module")
def data():
    return make_shapes(num_train=400, num_val=120, image_size=32)


def test_images_labels_and_masks_belong_together(data):
    assert data.train.images.shape == (400, 3, 32, 32)
    assert data.train.images.dtype == torch.uint8
    assert data.train.masks.shape == (400, 1, 32, 32)
    index, image, label = data.val[7]
    assert (index, label) == (7, int(data.val.labels[7]))
    assert torch.equal(image, data.val.images[7])


@given(count=st.integers(1, 60), classes=st.integers(2, 8))
@settings(max_examples=10, deadline=None)
def test_classes_are_balanced(count, classes):
    data = make_shapes(num_train=count, num_val=0, image_size=16, num_classes=classes)
    sizes = data.train.labels.bincount(minlength=classes)
    assert sizes.max() - sizes.min() <= 1
    assert (data.num_classes, len(data.class_names), data.val) == (classes, classes, None)


def test_the_seed_decides_and_a_larger_set_starts_with_the_smaller(data):
    same = make_shapes(num_train=30, num_val=30, image_size=32)
    assert torch.equal(same.train.images, data.train.images[:30])
    assert torch.equal(same.val.masks, data.val.masks[:30])
    other = make_shapes(num_train=30, num_val=0, image_size=32, seed=1)
    assert not torch.equal(other.train.images, same.train.images)


def test_no_image_occurs_twice(data):
    everything = torch.cat([data.train.images, data.val.images]).flatten(1)
    assert len(everything.unique(dim=0)) == 520


@pytest.mark.parametrize("size", [16, 32, 48, 96])
def test_every_object_is_whole_and_of_a_sensible_size(size):
    masks = make_shapes(num_train=160, num_val=0, image_size=size).train.masks.float()
    area = masks.mean(dim=(1, 2, 3))
    assert area.min() > 0.01
    assert area.max() < 0.55
    border = torch.cat([masks[..., 0], masks[..., -1], masks[..., 0, :], masks[..., -1, :]], dim=-1)
    assert border.mean() < 0.02


def test_the_masks_match_the_pictures(data):
    """Colors differ more across the outline than between two halves of the background."""
    images, masks = data.train.images.float() / 255, data.train.masks
    halves = torch.arange(32).expand(32, 32) < 16

    def color(where):
        return (images * where).sum((2, 3)) / where.sum((2, 3)).clamp(min=1)

    inside, outside = color(masks), color(~masks)
    left, right = color(~masks & halves), color(~masks & ~halves)
    assert (inside - outside).norm(dim=1).median() > 4 * (left - right).norm(dim=1).median()
    shuffled = color(masks.roll(1, dims=0))
    assert (inside - outside).norm(dim=1).mean() > 1.8 * (shuffled - outside).norm(dim=1).mean()


def test_place_and_background_say_nothing_about_the_class(data):
    """A linear guess from the background's mean color and the object's centroid stays near chance (1 in 8)."""
    train, val = data.train, data.val

    def cues(images):
        mask = images.masks.float()
        axis = torch.linspace(-1, 1, 32)
        y = (mask.mean(-1) * axis).sum(-1) / mask.mean(-1).sum(-1)
        x = (mask.mean(-2) * axis).sum(-1) / mask.mean(-2).sum(-1)
        ground = ~images.masks
        color = (images.images * ground).float().sum((2, 3)) / ground.sum((2, 3)) / 255
        return torch.cat([x, y, color, torch.ones(len(images), 1)], dim=1)

    targets = torch.nn.functional.one_hot(train.labels, 8).float()
    guess = cues(val) @ torch.linalg.lstsq(cues(train), targets).solution
    assert (guess.argmax(1) == val.labels).float().mean() < 0.25


def test_the_outlines_give_the_class_away_far_better_than_raw_pixels(data):
    def nearest(train, val):
        distance = torch.cdist(val.flatten(1).float(), train.flatten(1).float())
        return (data.train.labels[distance.argmin(1)] == data.val.labels).float().mean()

    def centered(masks):
        """Return the spectrum of the mask, which does not depend on the place."""
        return torch.fft.rfft2(masks.float()).abs().log1p()

    pixels = nearest(data.train.images, data.val.images)
    outlines = nearest(centered(data.train.masks), centered(data.val.masks))
    assert pixels < 0.5
    assert outlines > pixels + 0.2


def test_edges_are_antialiased():
    """Halving a large picture gives about the picture that is drawn at half the size."""
    large, small = (make_shapes(num_train=64, num_val=0, image_size=s).train for s in (64, 32))
    shrunk = torch.nn.functional.avg_pool2d(large.masks.float(), 2)
    assert (shrunk - small.masks.float()).abs().mean() < 0.03


@pytest.mark.parametrize("wrong", [{"num_classes": 1}, {"num_classes": 9}, {"image_size": 8}, {"num_train": 0}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        make_shapes(**wrong)
