"""Patches hidden one by one, on backbones of which it is known what they need."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from amask_solo.data import ArrayImages, ImageData
from amask_solo.errors import UserError
from amask_solo.evaluation.attackers import hide
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.greedy import Greedy
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.protocol import Subject
from tests.evaluation.corners import corners, subject

CORNER_PATCHES = 4  # of 64: a patch is 2 x 2 pixels
SHARES = [count / 64 for count in range(1, CORNER_PATCHES + 1)]


class Convolutions(nn.Module):
    """A small network that is not linear, with fixed weights."""

    num_features = 8

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            layers = nn.Conv2d(3, 8, 3, 2), nn.GELU(), nn.Conv2d(8, 8, 3, 2), nn.GELU(), nn.AdaptiveAvgPool2d(1)
            self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, images):
        return self.layers(images)


def tangled(*, size: int = 16, batch_size: int = 16) -> Subject:
    """Return a network and noise of which the mean says the class, here and there wrongly."""

    def draw(count, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 3
        images = torch.randint(156, (count, 3, size, size), generator=generator) + 12 * labels[:, None, None, None]
        return ArrayImages(images.byte(), labels)

    data = ImageData(draw(192, 0), draw(48, 1), 3, list("abc"), (0.35,) * 3, (0.2,) * 3, size, "tangled")
    return Subject(Backbone(Convolutions()).eval(), data, batch_size=batch_size)


def test_it_hides_exactly_what_the_backbone_looks_at():
    found = Greedy(SHARES)(subject())
    assert found["acc1"] == found["acc1_greedy_area0.046875"] == 100  # a quarter of the corner still says the class
    assert found["acc1_greedy_area0.0625"] == 50  # nothing is left, so all images get the same class


@pytest.mark.parametrize("size", [16, 19])
def test_the_first_patch_is_the_worst_of_all_if_all_are_tried(size):
    made = tangled(size=size)
    found = Greedy([1 / 16], grid=4, candidates=16)(made)
    probe = Linear().fit(made)
    pixels, labels = made.data.val.stack(), made.data.val.labels
    views = made.view(pixels)
    rights = [probe(made.encode(views)).argmax(dim=1) == labels]
    for patch in range(16):
        grid = nn.functional.one_hot(torch.tensor(patch), 16).float().view(1, 1, 4, 4)
        mask = nn.functional.interpolate(grid, size).expand(len(views), -1, -1, -1)
        rights.append(probe(made.encode(hide(views, mask))).argmax(dim=1) == labels)
    assert found["acc1"] == pytest.approx(100 * rights[0].double().mean().item())
    assert found["acc1_greedy_area0.0625"] == pytest.approx(100 * torch.stack(rights).all(dim=0).double().mean().item())
    assert found["acc1_greedy_area0.0625"] < found["acc1"]


def test_the_more_is_hidden_and_the_more_is_tried_the_less_is_left():
    few, many = (Greedy([1 / 64, 1 / 16, 1 / 4], candidates=count)(tangled()) for count in (1, 64))
    curve = [
        few[name] for name in ("acc1", "acc1_greedy_area0.015625", "acc1_greedy_area0.0625", "acc1_greedy_area0.25")
    ]
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] < curve[0]
    assert many["acc1_greedy_area0.015625"] <= few["acc1_greedy_area0.015625"]


def test_it_is_worse_than_rectangles_at_random():
    made = tangled()
    hidden = torch.zeros(48, 1, 16, 16)
    hidden[..., 4:12, 4:12] = 1
    views = hide(made.view(made.data.val.stack()), hidden)
    block = Linear().fit(made)(made.encode(views)).argmax(dim=1) == made.data.val.labels
    assert Greedy([0.25])(made)["acc1_greedy_area0.25"] < 100 * block.double().mean().item()


def test_neither_batches_nor_further_areas_change_a_score():
    alone, together = Greedy([0.1])(tangled(batch_size=7)), Greedy([0.3, 0.1])(tangled(batch_size=48))
    assert together["acc1_greedy_area0.1"] == alone["acc1_greedy_area0.1"]


def test_which_images_survive_is_kept_for_every_accuracy():
    made = tangled()
    found = Greedy()(made)
    assert made.right.keys() == found.keys()
    for name, right in made.right.items():
        assert 100 * right.double().mean().item() == pytest.approx(found[name]), name


def test_the_mean_over_the_area_starts_from_clean_images():
    found = Greedy([0.25, 0.125])(tangled())
    first, second, third = found["acc1"], found["acc1_greedy_area0.125"], found["acc1_greedy_area0.25"]
    assert found["acc1_greedy_curve"] == pytest.approx((first + 2 * second + third) / 4)


def test_nothing_is_drawn_and_the_backbone_gets_no_gradient():
    made, random = tangled(), torch.get_rng_state()
    Greedy([0.05])(made)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(weight.grad is None for weight in made.backbone.parameters())


def test_images_without_labels_are_a_mistake_of_the_user():
    with pytest.raises(UserError, match="no labels"):
        Greedy()(subject(data=replace(corners(labeled=False), class_names=[])))


def test_two_areas_of_as_many_patches_are_one_point_of_the_curve():
    few, more = Greedy([0.25])(tangled()), Greedy([0.249, 0.25])(tangled())
    assert more["acc1_greedy_area0.249"] == few["acc1_greedy_area0.25"]
    assert more["acc1_greedy_curve"] == few["acc1_greedy_curve"]


def test_patches_smaller_than_pixels_are_a_mistake_of_the_user():
    with pytest.raises(UserError, match="at most 16"):
        Greedy(grid=17)(tangled())


@pytest.mark.parametrize("setting", [{"areas": []}, {"areas": [1.0]}, {"grid": 1}, {"candidates": 0}])
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match="Expected"):
        Greedy(**setting)
