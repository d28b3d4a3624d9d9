import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amask_solo.evaluation.disturbances import (
    draw_partners,
    mean_background,
    remove_backgrounds,
    remove_objects,
    swap_backgrounds,
)


def draw(seed: int, count: int = 3, size: int = 5):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    return pixels, torch.rand(count, 1, size, size, generator=generator) < 0.4


def loops_mean(pixels, objects):
    """Return the mean background of one image, pixel by pixel."""
    size = pixels.shape[-1]
    around = [pixels[:, y, x].tolist() for y in range(size) for x in range(size) if not objects[0, y, x]]
    return [sum(values) / len(around) for values in zip(*around, strict=True)]


@given(st.integers(0, 10_000))
def test_a_pasted_image_is_object_here_background_there_and_mean_where_the_other_object_was(seed):
    pixels, objects = draw(seed)
    other, other_objects = draw(seed + 1)
    pasted = swap_backgrounds(pixels, objects, other, other_objects)
    for n in range(len(pixels)):
        paint = [round(value) for value in loops_mean(other[n], other_objects[n])]
        for y in range(pixels.shape[-1]):
            for x in range(pixels.shape[-1]):
                expected = other[n, :, y, x].tolist()
                if objects[n, 0, y, x]:
                    expected = pixels[n, :, y, x].tolist()
                elif other_objects[n, 0, y, x]:
                    expected = paint
                assert pasted[n, :, y, x].tolist() == expected


def test_pasting_keeps_the_pixels_as_they_are_stored_and_the_arguments_untouched():
    (pixels, objects), (other, other_objects) = draw(0), draw(1)
    before = [tensor.clone() for tensor in (pixels, objects, other, other_objects)]
    assert swap_backgrounds(pixels, objects, other, other_objects).dtype == torch.uint8
    for tensor, copy in zip((pixels, objects, other, other_objects), before, strict=True):
        assert torch.equal(tensor, copy)


def test_an_image_on_its_own_background_is_itself():
    pixels, objects = draw(2)
    assert torch.equal(swap_backgrounds(pixels, objects, pixels, objects), pixels)


def test_without_its_object_or_its_background_the_rest_is_the_mean_color():
    pixels, objects = draw(3)
    paint = mean_background(pixels, objects).round().byte().expand_as(pixels)
    inside = objects.expand_as(pixels)
    for changed, kept in ((remove_objects(pixels, objects), ~inside), (remove_backgrounds(pixels, objects), inside)):
        assert torch.equal(changed[kept], pixels[kept])
        assert torch.equal(changed[~kept], paint[~kept])


def test_an_object_that_fills_the_image_leaves_the_mean_of_everything():
    pixels, objects = draw(4)
    everything = torch.ones_like(objects)
    torch.testing.assert_close(mean_background(pixels, everything), pixels.float().mean(dim=(-2, -1), keepdim=True))
    assert torch.equal(remove_backgrounds(pixels, everything), pixels)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 1000))
def test_partners_of_the_same_class_are_a_ring_without_oneself(labels, seed):
    labels = torch.tensor(labels)
    partners = draw_partners(labels, same_class=True, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(labels[partners], labels)
    assert partners.sort().values.tolist() == list(range(len(labels)))
    alone = labels.bincount()[labels] == 1
    assert torch.equal(partners == torch.arange(len(labels)), alone)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 1000))
def test_partners_of_another_class_are_of_another_class(labels, seed):
    labels = torch.tensor([*labels, 5])
    partners = draw_partners(labels, same_class=False, generator=torch.Generator().manual_seed(seed))
    assert (labels[partners] != labels).all()


def test_every_image_of_another_class_can_be_the_partner():
    labels = torch.tensor([0] * 300 + [1, 2, 3])
    partners = draw_partners(labels, same_class=False, generator=torch.Generator().manual_seed(0))
    assert set(partners[:300].tolist()) == {300, 301, 302}
    assert partners[:300].bincount()[300:].min() > 70


def test_one_class_alone_has_no_other_background():
    with pytest.raises(ValueError, match="two classes"):
        draw_partners(torch.zeros(3, dtype=torch.int64), same_class=False, generator=torch.Generator())
