import pytest
import torch

from amask_solo.data import make_two_digits
from amask_solo.data.two_digits import _writings


@pytest.fixture(scope="module")
def data():
    return make_two_digits(num_train=600, num_val=200)


def test_the_variant_has_the_same_images_and_the_other_label(data):
    small = data.variants["small"]
    assert torch.equal(small.train.stack(), data.train.stack())
    assert torch.equal(small.val.stack(), data.val.stack())
    agreement = (small.train.labels == data.train.labels).float().mean()
    assert 0.04 < agreement < 0.2, "the two digits are independent, so they agree in a tenth of the images"
    assert data.train.labels.unique().tolist() == small.train.labels.unique().tolist() == list(range(10))


def test_each_label_is_the_digit_that_it_says(data):
    """The glyph of the labeled digit, somewhere in the image, is nearer than most of other digits."""
    written, digits = _writings("train")
    means = torch.stack([written[digits == digit].mean(dim=0) for digit in range(10)])
    images = data.train.images[:, :1].float() / 255
    for size, labels in ((20, data.train.labels), (11, data.variants["small"].train.labels)):
        glyphs = torch.nn.functional.interpolate(means, (size, size), mode="bilinear")
        glyphs = (glyphs - glyphs.mean(dim=(1, 2, 3), keepdim=True)).flatten(1)
        kernels = torch.nn.functional.normalize(glyphs, dim=1).view(10, 1, size, size)
        found = torch.nn.functional.conv2d(images, kernels).flatten(2).amax(dim=2).argmax(dim=1)
        assert (found == labels).float().mean() > 0.3, (
            "three times chance, though the digits are found by a mere filter"
        )


@pytest.mark.parametrize(("large", "small", "size"), [(20, 12, 32), (16, 16, 32), (20, 11, 40)])
def test_both_digits_lie_side_by_side(large, small, size):
    images = make_two_digits(num_train=50, num_val=0, image_size=size, large=large, small=small).train.images[:, 0]
    ink = images.float().mean(dim=0)
    assert (ink > 0).float().mean() > 0.8, "digits lie at every side"
    columns, rows = (images > 0).any(dim=1), (images > 0).any(dim=2)
    wide, high = columns.sum(dim=1) > large, rows.sum(dim=1) > large
    assert (wide | high).float().mean() > 0.9, "a second digit lies beside the large one"


def test_validation_writings_are_new(data):
    train, val = (set(map(tuple, _writings(split)[0].flatten(1).tolist())) for split in ("train", "val"))
    assert not train & val


def test_the_seed_decides(data):
    again = make_two_digits(num_train=600, num_val=200)
    other = make_two_digits(num_train=600, num_val=200, seed=1)
    assert torch.equal(again.train.images, data.train.images)
    assert not torch.equal(other.train.images, data.train.images)


def test_settings_are_chosen_on_training_images_with_both_labels():
    tuned = make_two_digits(num_train=600, num_val=100, tune_fraction=0.25)
    assert torch.equal(tuned.val.stack(), tuned.variants["small"].val.stack())
    assert len(tuned.train) + len(tuned.val) == 600


@pytest.mark.parametrize("wrong", [{"large": 25}, {"small": 0}, {"small": 21}, {"num_train": 0}, {"num_val": -1}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        make_two_digits(**wrong)
