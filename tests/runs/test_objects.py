"""Masks that show the objects that the data mark, in training."""

import jaxtyping
import kornia
import pytest
import torch

from amask_solo.augment.views import Views
from amask_solo.errors import UserError
from amask_solo.maskers import MixtureMasker, ObjectMasker, RandomMasker, lend_objects
from tests.augment.inputs import PLAIN, seeded
from tests.cli.command import BARE, SMALL, call, pretrain


def test_masks_follow_crops_and_flips_into_all_views():
    geometry = {"rrc": {"crop_min_scale": 0.2, "crop_max_scale": 1.0}, "horizontal_flip": {"prob": 0.5}}
    color = {"color_jitter": {"prob": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}}
    nodes = [{**geometry, "crop_size": 24, "num_crops": 2}, {**geometry, "crop_size": 16, "num_crops": 1}]
    masks = torch.zeros(6, 1, 32, 32)
    masks[:, :, 4:20, 8:18] = 1
    pictures = (255 * masks).to(torch.uint8).expand(-1, 3, -1, -1)
    seen = Views(nodes, **PLAIN)(pictures, generator=seeded(3))
    followed = Views(nodes, **PLAIN).follow(masks, generator=seeded(3))
    assert [mask.shape for mask in followed] == [(6, 1, 24, 24), (6, 1, 24, 24), (6, 1, 16, 16)]
    for view, mask in zip(seen, followed, strict=True):
        assert torch.equal(view[:, :1] > 0.5, mask > 0)
    # What changes pixels takes numbers as well, before those of the next node.
    jittered = [{**nodes[0], **color}, nodes[1]]
    last = Views(jittered, **PLAIN)(pictures, generator=seeded(3))[-1]
    assert torch.equal(last[:, :1] > 0.5, Views(jittered, **PLAIN).follow(masks, generator=seeded(3))[-1] > 0)


def test_the_object_and_the_rest_share_the_image_out():
    masker = MixtureMasker(ObjectMasker(), RandomMasker(), share=0.9)
    objects = torch.rand(4, 1, 8, 8).round()
    assert lend_objects(masker, lambda images: [objects])
    masks = masker.masker(torch.zeros(4, 3, 8, 8))
    assert torch.equal(masks, torch.cat([objects, 1 - objects], dim=1))
    assert not lend_objects(RandomMasker(), lambda images: [objects])


def shown(objects, *, views=1, **settings):
    masker = ObjectMasker(**settings)
    lend_objects(masker, lambda images: objects.chunk(views))
    return masker(torch.zeros(len(objects), 3, *objects.shape[-2:]), generator=seeded(0))


def test_an_object_is_eroded_dilated_or_boxed_as_the_morphology_of_others_does_it():
    objects = (torch.rand(6, 1, 20, 20, generator=seeded(1)) > 0.5).float()
    objects[:3, :, 4:14, 6:15] = 1
    objects[5] = 0
    kernel, all_shapes = torch.ones(5, 5), ("eroded", "dilated", "box")
    eroded, dilated, boxes = (shown(objects, shape=shape, reach=0.1) for shape in all_shapes)
    assert torch.equal(eroded[:, :1], kornia.morphology.erosion(objects, kernel))
    assert torch.equal(dilated[:, :1], kornia.morphology.dilation(objects, kernel))
    assert all(torch.equal(masks.sum(dim=1), torch.ones(6, 20, 20)) for masks in (eroded, dilated, boxes))
    alone = torch.zeros(1, 1, 20, 20)
    alone[..., 3, 5] = alone[..., 11, 8] = 1
    expected = torch.zeros_like(alone)
    expected[..., 3:12, 5:9] = 1
    assert torch.equal(shown(alone, shape="box")[:, :1], expected)
    assert not shown(objects, shape="box")[5, 0].any()


def test_shuffled_images_hide_the_objects_of_others():
    objects = torch.eye(8).reshape(8, 1, 1, 8).expand(-1, -1, 8, -1)
    masks = shown(objects, shuffled=True)
    assert not (masks[:, :1] == objects).flatten(1).all(dim=1).any(), "one hides its own"
    assert torch.equal(masks[:, 0].sum(dim=0), torch.ones(8, 8))
    assert torch.equal(masks[:, 1], 1 - masks[:, 0])
    # Two images of two masked views: each hides the object of the other, as it lies in the same view.
    two = shown(objects[:4], views=2, shuffled=True)
    assert torch.equal(two[:, :1], objects[[1, 0, 3, 2]])
    with pytest.raises(ValueError, match="two images"):
        shown(objects[:2], views=2, shuffled=True)


@pytest.mark.parametrize("settings", [{"shape": "round"}, {"reach": 0.0}, {"reach": float("nan")}])
def test_other_shapes_are_refused(settings):
    with pytest.raises((ValueError, jaxtyping.TypeCheckError)):
        ObjectMasker(**settings)


def test_nobody_else_knows_where_the_objects_are():
    with pytest.raises(UserError, match="only the training of amask-pretrain"):
        ObjectMasker()(torch.zeros(2, 3, 8, 8))


@pytest.mark.host
def test_a_run_hides_the_objects_of_its_data(tmp_path):
    words = ["masker=objects", "adversary.draw=all", "adversary.side=both", *SMALL, *BARE]
    said = pretrain("method=amask_byol", *words, "run_folder=run", cwd=tmp_path)
    assert said.code == 0, said.err
    metrics = (tmp_path / "run/metrics.csv").read_text()
    assert "masks/area_2" in metrics
    # It has no masks of the images to validate on, but the backbone can be scored as any other.
    said = call("evaluate", "ckpt=run", "protocol=[knn,masks]", "device=cpu", cwd=tmp_path)
    assert "│ knn" in said.out
    assert "scores a masker, and this run has none" in said.err


@pytest.mark.host
@pytest.mark.nightly
def test_further_moves_of_a_masker_find_the_objects_in_their_part_of_the_batch(tmp_path):
    other = "adversary.masker.other={_target_: amask_solo.maskers.ObjectMasker}"
    words = ["masker=mixture", other, "adversary.steps=2", "adversary.side=both", *SMALL, *BARE]
    said = pretrain("method=amask_byol", *words, "run_folder=run", cwd=tmp_path)
    assert said.code == 0, said.err


@pytest.mark.host
def test_data_without_objects_are_refused_in_a_line_before_anything_is_written(tmp_path):
    said = pretrain("masker=objects", "data=two_digits", *SMALL, *BARE, "run_folder=run", cwd=tmp_path)
    assert said.code == 2
    assert "has no masks of any" in said.err
    assert not (tmp_path / "run").exists()
