import pytest
import torch
from PIL import Image

from amask_solo.data import load_image_folder, load_marked_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, grey in (("dark", 40), ("light", 200)):
        (folder / name).mkdir()
        for number in range(10):
            Image.new("RGB", (32, 32), (grey, grey, grey + number)).save(folder / name / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="module")
def data(folder):
    return load_marked_folder(train_path=folder, val_fraction=0.3, image_size=32)


def test_a_mark_covers_its_share_and_nothing_else_changes(data, folder):
    plain = load_image_folder(train_path=folder, val_fraction=0.3, image_size=32)
    changed = (data.train.stack() != plain.train.stack()).any(dim=1)
    assert (changed.flatten(1).sum(dim=1) <= 8 * 8).all()
    assert (changed.flatten(1).sum(dim=1) >= 8 * 8 * 0.9).all()
    for columns in (changed.any(dim=1), changed.any(dim=2)):
        assert columns.sum(dim=1).max() <= 8
    assert torch.equal(data.train.labels, plain.train.labels)


def test_no_two_images_have_the_same_mark(data):
    marks = [
        image[:, where.any(dim=1)][:, :, where.any(dim=0)]
        for images, plain in ((data.train, data.variants["unmarked"].train), (data.val, data.variants["unmarked"].val))
        for image, where in zip(images.stack(), (images.stack() != plain.stack()).any(dim=1), strict=True)
    ]
    assert len({tuple(mark.flatten().tolist()) for mark in marks}) == 20


def test_an_image_keeps_its_mark_in_any_order_and_however_it_is_read(data):
    whole = data.train.stack()
    picks = torch.tensor([5, 2, 9])
    assert torch.equal(data.train.select(picks).stack(), whole[picks])
    assert torch.equal(data.train.select(picks).image(1), whole[2])
    assert torch.equal(data.train.image(7), whole[7])


def test_the_unmarked_variant_has_the_images_as_they_are(data, folder):
    plain = load_image_folder(train_path=folder, val_fraction=0.3, image_size=32)
    assert torch.equal(data.variants["unmarked"].val.stack(), plain.val.stack())
    assert (data.mean, data.std) == (plain.mean, plain.std)


@pytest.mark.parametrize("mark", [0.0, 1.5, -1.0])
def test_a_mark_of_an_impossible_size_is_refused(folder, mark):
    with pytest.raises(ValueError, match="mark in"):
        load_marked_folder(train_path=folder, mark=mark)
