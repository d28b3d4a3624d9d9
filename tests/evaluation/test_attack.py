"""Attacks on backbones of which it is known where they look."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from amask_solo.errors import UserError
from amask_solo.evaluation.attack import Attack
from amask_solo.maskers import Centered, NoMasks, RandomMasker
from amask_solo.maskers.base import Masker
from tests.evaluation.corners import CORNER, corners, subject

QUICK = {"steps": 40, "restarts": 2, "batch_size": 32, "area": 0.125}


class Corner(Masker):
    """Knows where the backbone looks."""

    num_masks = 1

    def forward(self, images, *, generator=None):
        masks = torch.zeros_like(images[:, :1])
        masks[..., CORNER, CORNER] = 1
        return masks


class Twice(Corner):
    """Hides the corner in one mask, and a place that does not count in the other."""

    num_masks = 2

    def forward(self, images, *, generator=None):
        corner = super().forward(images)
        return torch.cat([corner, corner.flip(-1)], dim=1)


def test_the_attack_finds_the_corner_and_random_masks_do_not():
    found = Attack(**QUICK)(subject())
    worst = 1 - 1 / math.sqrt(1 + 3 * (100 / 127.5) ** 2)  # all color gone, the constant alone is left
    assert found["acc1"] == 100
    assert found["acc1_attack"] < 60
    assert found["acc1_random"] > 90
    assert found["lift"] == pytest.approx(worst, rel=0.1)
    assert found["lift_random"] < 0.3 * worst
    assert found["advantage"] == pytest.approx(found["lift"] / found["lift_random"])
    assert not any("own" in name or name == "gap" for name in found)


def test_a_masker_that_plays_its_best_response_leaves_no_gap():
    found = Attack(**{**QUICK, "area": 1 / 16})(subject(Corner()))
    assert found["gap"] == pytest.approx(1, abs=0.1)
    assert found["advantage_own"] > 3
    assert found["acc1_own"] < 60


def test_there_is_no_gap_to_an_attack_of_another_area_than_the_runs_own():
    found = Attack(**{**QUICK, "steps": 2, "area": [0.5, 1 / 16]})(subject(Corner()))
    assert "gap" not in found
    assert found["lift_own"] > 0


def test_which_images_survive_is_kept_for_every_accuracy():
    made = subject(Twice())
    found = Attack(**{**QUICK, "steps": 2, "restarts": 1, "search": 2, "area": [0.125, 0.5]})(made)
    assert made.right.keys() == {name for name in found if name.startswith("acc1")}
    assert {"acc1_own", "acc1_search_area0.5", "acc1_worst_curve"} <= made.right.keys()
    for name, right in made.right.items():
        assert 100 * right.double().mean().item() == pytest.approx(found[name]), name


def test_a_masker_that_never_hides_what_counts_is_far_from_it():
    found = Attack(**QUICK)(subject(RandomMasker(Centered(), area=0.125)))
    assert math.isnan(found["gap"])
    assert (found["lift_own"], found["advantage_own"]) == pytest.approx((0, 0), abs=1e-4)
    assert found["acc1_own"] == 100


def test_the_attack_hides_as_much_as_the_runs_own_masks():
    settings = {**QUICK, "area": None, "steps": 2}
    assert Attack(**settings)(subject())["area"] == 0.25
    assert Attack(**settings)(subject(Corner()))["area"] == pytest.approx(1 / 16)
    assert Attack(**{**settings, "area": 0.5})(subject(Corner()))["area"] == 0.5


def test_a_masker_that_hides_nothing_counts_as_none():
    settings = {**QUICK, "area": None, "steps": 2}
    assert Attack(**settings)(subject(NoMasks())) == Attack(**settings)(subject())


def test_own_masks_count_by_their_mean():
    class Both(Corner):
        num_masks = 2

        def forward(self, images, *, generator=None):
            return torch.cat([super().forward(images), torch.zeros_like(images[:, :1])], dim=1)

    settings = {**QUICK, "steps": 2, "restarts": 1}
    one, two = Attack(**settings)(subject(Corner())), Attack(**settings)(subject(Both()))
    assert two["lift_own"] == pytest.approx(one["lift_own"] / 2)
    assert (two["lift_own_1"], two["lift_own_2"]) == pytest.approx((one["lift_own"], 0), abs=1e-6)
    assert two["acc1_own"] == pytest.approx((one["acc1_own"] + 100) / 2)


class ByChannel(Corner):
    """Hides one quarter of the corner in each of two channels, and nothing in the third; they are shown together."""

    num_masks, channelwise = 3, True

    def forward(self, images, *, generator=None):
        masks = torch.zeros_like(images)
        masks[:, :2, CORNER, CORNER] = 1
        return masks


def test_the_masks_of_the_channels_are_one_occlusion():
    found = Attack(**{**QUICK, "steps": 2, "restarts": 1})(subject(ByChannel()))
    color = 100 / 127.5
    clean, left = torch.tensor([color, color, color, 1.0]), torch.tensor([0.0, 0.0, color, 1.0])
    lift = 1 - torch.cosine_similarity(clean, left, dim=0).item()
    assert found["lift_own"] == found["lift_own_1"] == pytest.approx(lift, rel=0.02)
    assert "lift_own_2" not in found


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_any_number_of_channels_are_attacked(channels):
    found = Attack(**{**QUICK, "steps": 2, "restarts": 1}, networks=["unet", "patches"])(
        subject(data=corners(channels=channels))
    )
    assert found["lift"] > 0


def test_the_head_says_where_images_are_compared():
    # A head that drops the colors sees nothing of what is hidden.
    head = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 1.0]]))
    found = Attack(**{**QUICK, "steps": 2})(subject(Corner(), make_head=lambda: head))
    assert found["lift"] == found["lift_own"] == pytest.approx(0, abs=1e-6)
    assert found["acc1_own"] < 60  # the probe sits on the features


def test_more_restarts_are_never_weaker_on_what_chooses_them():
    weak, strong = (Attack(**{**QUICK, "steps": 3, "restarts": count})(subject(seed=0)) for count in (1, 4))
    assert strong["lift"] >= weak["lift"] - 0.02


def test_the_backbone_gets_neither_gradient_nor_statistics_and_the_global_stream_stays():
    made = subject()
    before, random = made.backbone.model.weight.clone(), torch.get_rng_state()
    Attack(**{**QUICK, "steps": 2})(made)
    assert made.backbone.model.weight.grad is None
    assert torch.equal(made.backbone.model.weight, before)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_seed_decides_everything():
    quick = Attack(**{**QUICK, "steps": 3})
    first = quick(subject(seed=1))
    torch.rand(3)
    assert first == quick(subject(seed=1))
    assert first != quick(subject(seed=2))


def test_without_labels_there_are_lifts_alone():
    found = Attack(**{**QUICK, "steps": 2})(subject(data=replace(corners(labeled=False), class_names=[])))
    assert set(found) == {"lift", "lift_random", "advantage", "area"}
    found = Attack(**{**QUICK, "steps": 2, "area": [0.1, 0.2]})(
        subject(data=replace(corners(labeled=False), class_names=[]))
    )
    assert not any("acc1" in name for name in found)


@pytest.mark.parametrize("split", ["train", "val"])
def test_where_one_split_alone_has_labels_there_are_lifts_alone(split):
    data = replace(corners(), **{split: getattr(corners(labeled=False), split)})
    found = Attack(**{**QUICK, "steps": 2, "restarts": 1})(subject(data=data))
    assert set(found) == {"lift", "lift_random", "advantage", "area"}


def test_attackers_whose_training_diverged_are_no_result():
    with pytest.raises(UserError, match=r"diverged; lower its learning rates"):
        Attack(**{**QUICK, "steps": 12}, lr=1e4)(subject())


def test_a_broken_backbone_is_named_without_labels_too():
    made = subject(data=replace(corners(labeled=False), class_names=[]))
    with torch.no_grad():
        made.backbone.model.weight.fill_(torch.nan)
    with pytest.raises(UserError, match="features that are not finite"):
        Attack(**{**QUICK, "steps": 1})(made)


def test_data_without_validation_images_are_a_mistake_of_the_user():
    with pytest.raises(UserError, match="no validation images"):
        Attack(**{**QUICK, "steps": 1})(subject(data=replace(corners(), val=None)))


@pytest.mark.nightly
def test_an_attacker_of_another_architecture_finds_the_corner_too():
    found = Attack(**QUICK, networks=["patches"])(subject())
    assert found["acc1_attack"] < 60
    both = Attack(**QUICK, networks=["unet", "patches"])(subject())
    assert both["lift_patches"] == pytest.approx(found["lift"], abs=1e-6)
    assert both["lift"] == max(both["lift_unet"], both["lift_patches"])


def test_a_search_without_gradients_finds_the_corner_if_it_tries_often_enough():
    few, many = (Attack(**{**QUICK, "steps": 1, "restarts": 1}, search=tries)(subject()) for tries in (1, 300))
    assert few["acc1_search"] > 90
    assert many["acc1_search"] < 70


def test_the_worst_case_is_no_better_than_any_of_its_parts():
    found = Attack(**QUICK, networks=["unet", "patches"], search=20)(subject())
    assert found["acc1_worst"] <= min(found["acc1_search"], found["acc1_attack"])


@pytest.mark.nightly
def test_several_areas_are_attacked_and_the_first_has_the_plain_names():
    settings = {**QUICK, "area": [0.125, 0.02, 0.5]}
    found, alone = Attack(**settings)(subject(Corner())), Attack(**QUICK)(subject(Corner()))
    assert alone.items() <= found.items()
    assert found["acc1_attack_area0.125"] == found["acc1_attack"]
    # The corner is a sixteenth: less than that cannot hide it.
    assert found["acc1_worst_area0.02"] == 100
    assert found["acc1_worst_area0.5"] <= found["acc1_worst_area0.125"] < 60
    worst = [100, *(found[f"acc1_worst_area{area}"] for area in (0.02, 0.125, 0.5))]
    assert found["acc1_worst_curve"] == pytest.approx(np.trapezoid(worst, [0, 0.02, 0.125, 0.5]) / 0.5)


def test_masked_and_stock_runs_meet_the_same_rectangles():
    settings = {**QUICK, "steps": 1, "restarts": 1, "search": 40}
    stock, masked = Attack(**settings)(subject()), Attack(**settings)(subject(Corner()))
    assert (stock["acc1_search"], stock["acc1_random"]) == (masked["acc1_search"], masked["acc1_random"])


@pytest.mark.parametrize("setting", [{"networks": []}, {"networks": ["resnet"]}, {"search": -1}, {"area": [0.1, 2.0]}])
def test_a_further_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match="Expected"):
        Attack(**setting)


@pytest.mark.parametrize("setting", [{"steps": 0}, {"restarts": 0}, {"area": 1.0}, {"lr": 0.0}, {"resolution": 2.0}])
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match="Expected"):
        Attack(**setting)
