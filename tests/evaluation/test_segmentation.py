"""A linear probe on feature maps that are known to hold, or not to hold, where the object is."""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, jaccard_score
from torch import nn

from amask_solo.data import ArrayImages, ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.segmentation import Segmentation, feature_maps, segmentation_scores


class Pooled(nn.Module):
    """A backbone whose map is the image itself at a lower resolution, and its square."""

    num_features = 6

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward_intermediates(self, images, **_):
        return [F.avg_pool2d(torch.cat([images, images.square()], dim=1), self.cell)]


def painted(count, *, visible, size=32, seed=0):
    """Make pictures with one bright rectangle each, and masks of it, or of another picture's."""
    draw = torch.Generator().manual_seed(seed)
    top, left = torch.randint(0, size // 2, (2, count, 1), generator=draw)
    side = torch.arange(size)
    inside = ((side >= top) & (side < top + size // 2))[:, :, None] & ((side >= left) & (side < left + size // 2))[
        :, None
    ]
    masks = inside[:, None]
    ground = torch.randint(0, 60, (count, 3, size, size), generator=draw, dtype=torch.uint8)
    images = torch.where(masks, 200, ground) if visible else ground
    return ArrayImages(images, torch.full((count,), -1), masks)


def subject(*, visible=True, cell=1, train=64, val=32, **settings):
    parts = [painted(train, visible=visible, seed=0), painted(val, visible=visible, seed=1)]
    data = ImageData(*parts, 1, [], (0.5,) * 3, (0.25,) * 3, 32, "painted")
    return Subject(Backbone(Pooled(cell)), data, **settings)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=0).eval()


def shapes(model, *, num_val=8, batch_size=256):
    data = make_shapes(num_train=16, num_val=num_val)
    return Subject(Backbone(model), data, batch_size=batch_size)


def test_a_map_that_shows_the_object_gives_nearly_everything():
    scores = Segmentation(weight_decay=1e-6)(subject())
    assert scores["miou"] > 99
    assert scores["iou"] > 99
    assert scores["pixel_acc"] > 99


@pytest.mark.parametrize("split", ["train", "val"])
def test_void_pixels_are_neither_learned_from_nor_scored(split):
    made = subject()
    images = getattr(made.data, split)
    images.void = torch.zeros_like(images.masks)
    images.void[..., :20, :] = True
    images.masks[..., :20, :] = ~images.masks[..., :20, :]  # nobody can tell, so the file may say anything
    assert Segmentation(weight_decay=1e-6)(made)["miou"] > 99
    images.void = None
    assert Segmentation(weight_decay=1e-6)(made)["miou"] < 90


def test_a_map_that_shows_nothing_is_no_better_than_the_mean_mask():
    scores = Segmentation()(subject(visible=False, cell=4))
    assert scores["miou"] < scores["miou_mean_mask"] + 3


@pytest.mark.parametrize("cell", [2, 4, 8])
def test_coarser_maps_tell_less_but_more_than_no_map(cell):
    fine, coarse = (Segmentation(weight_decay=1e-4)(subject(cell=c))["miou"] for c in (cell // 2, cell))
    assert fine + 1 > coarse > Segmentation()(subject(visible=False))["miou_mean_mask"] + 5


def test_parts_of_a_cell_tell_more_than_one_score_of_a_coarse_map():
    """Rectangles that never fill a cell of the map: one score a cell finds few of them."""
    one, many = (Segmentation(resolution=r)(subject(cell=16, train=128))["miou"] for r in (1, 14))
    assert many > one + 5


def test_the_parts_of_a_cell_are_put_where_they_belong():
    """Objects in the upper left quarter of each cell, which a constant map can know."""
    masks = torch.zeros(8, 1, 32, 32, dtype=torch.bool)
    for top in (0, 16):
        for left in (0, 16):
            masks[:, :, top : top + 8, left : left + 8] = True
    images = ArrayImages(torch.full((8, 3, 32, 32), 128, dtype=torch.uint8), torch.full((8,), -1), masks)
    data = ImageData(images, images, 1, [], (0.5,) * 3, (0.25,) * 3, 32, "quarters")
    assert Segmentation(resolution=32)(Subject(Backbone(Pooled(16)), data))["miou"] == pytest.approx(100)


def test_the_baselines_are_those_of_constant_guesses():
    scores = Segmentation()(subject(visible=False))
    masks = painted(32, visible=False, seed=1).masks
    background = 100 * (1 - masks.float().mean().item())
    assert scores["pixel_acc_majority"] == pytest.approx(background)
    assert scores["miou_majority"] == pytest.approx(background / 2)
    assert scores["iou_majority"] == 0
    likely = (painted(64, visible=False, seed=0).masks.float().mean(dim=0) > 0.5).expand_as(masks)
    assert scores["iou_mean_mask"] == pytest.approx(100 * jaccard_score(masks.flatten(), likely.flatten()))


def test_the_scores_are_those_of_scikit_learn():
    found, truth = torch.rand(2, 5, 1, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.6
    scores = segmentation_scores(found, truth)
    pair = truth.flatten().numpy(), found.flatten().numpy()
    assert scores["iou"] == pytest.approx(100 * jaccard_score(*pair))
    assert scores["miou"] == pytest.approx(100 * jaccard_score(*pair, average="macro"))
    assert scores["pixel_acc"] == pytest.approx(100 * accuracy_score(*pair))


def test_a_resnet_is_scored_the_same_each_time_and_stays_as_it_is(resnet):
    before = copy.deepcopy(resnet.state_dict())
    probe = Segmentation(resolution=4, max_iter=20)
    first, again = (probe(shapes(resnet, batch_size=size)) for size in (256, 5))
    assert first == pytest.approx(again, abs=0.5)
    assert first == probe(shapes(resnet))
    assert all(torch.equal(value, before[name]) for name, value in resnet.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in resnet.parameters())
    assert not resnet.training


def test_a_map_of_a_single_pixel_works(resnet):
    small = shapes(resnet)
    assert feature_maps(small, "val").shape == (8, 512, 1, 1)
    assert 0 < Segmentation(max_iter=20)(small)["miou"] <= 100


def test_the_patches_of_a_vit_work():
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=2, num_classes=0
    ).eval()
    seen = shapes(vit)
    assert feature_maps(seen, "train").shape == (16, 24, 4, 4)
    assert 0 < Segmentation()(seen)["miou"] <= 100


def test_data_without_masks_are_refused(resnet):
    bare = shapes(resnet)
    bare.data.train.masks = None
    with pytest.raises(UserError, match="data=shapes or data=image_masks"):
        Segmentation()(bare)


def test_data_without_validation_images_are_refused(resnet):
    with pytest.raises(UserError, match="no validation images"):
        Segmentation()(shapes(resnet, num_val=0))


def test_masks_that_do_not_fit_the_views_are_refused(resnet):
    larger = shapes(resnet)
    object.__setattr__(larger.data, "image_size", 28)
    with pytest.raises(UserError, match=r"28.*32"):
        Segmentation()(larger)


@pytest.mark.parametrize("setting", [{"resolution": 0}, {"weight_decay": -1.0}, {"max_iter": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match="Expected"):
        Segmentation(**setting)
