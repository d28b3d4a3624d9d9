"""A linear probe on feature maps that are known to hold, or not to hold, where the object is."""

import copy
from dataclasses import replace

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
from amask_solo.evaluation.segmenter import FineTuneSegmentation, stretch


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


CLASSES = ("background", "dark", "bright")


def two_kinds(count, *, seed=0, size=32):
    """Paint the rectangles in one of two colors, which are classes of pixels; their border is void."""
    base = painted(count, visible=True, size=size, seed=seed)
    kind = 1 + torch.arange(count) % 2
    inner = ~F.max_pool2d((~base.masks).float(), 3, stride=1, padding=1).bool()
    bright = torch.where(base.masks, torch.tensor([0, 100, 220], dtype=torch.uint8)[kind][:, None, None, None], 0)
    segments = torch.where(inner, kind[:, None, None, None], torch.where(base.masks, 255, 0)).byte()
    images = torch.where(base.masks, bright, base.images)
    return ArrayImages(images, base.labels, inner, base.masks & ~inner, segments=segments)


def with_classes(*, cell=1, train=64, val=32, backbone=None):
    parts = [two_kinds(train, seed=0), two_kinds(val, seed=1)]
    data = ImageData(*parts, 1, [], (0.5,) * 3, (0.25,) * 3, 32, "kinds", segment_names=CLASSES)
    return Subject(Backbone(backbone or Pooled(cell)), data)


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


def test_features_that_are_not_finite_are_named():
    broken = subject()
    broken.data = replace(broken.data, mean=(torch.nan,) * 3)
    with pytest.raises(UserError, match="features that are not finite"):
        Segmentation()(broken)


def test_a_training_that_diverged_is_no_result(resnet):
    with pytest.raises(UserError, match="diverged; lower its learning rates"):
        FineTuneSegmentation(head="linear", epochs=2, batch_size=8, lr=1e20)(shapes(resnet))


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


@pytest.mark.parametrize("cell", [8, 16])
def test_a_void_border_makes_no_object_smaller(cell):
    """One score tells two kinds of pixels apart as the softmax does beside a third kind that never occurs."""
    parts = []
    for count, seed in ((64, 0), (32, 1)):
        made = painted(count, visible=True, size=96, seed=seed)
        outer, around = (F.max_pool2d(m.float(), 5, stride=1, padding=2).bool() for m in (made.masks, ~made.masks))
        void = outer & around
        segments = (~around).byte().masked_fill(void, 255)
        parts.append(ArrayImages(made.images, made.labels, ~around, void, segments=segments))
    one, several = (
        Segmentation(weight_decay=1e-3)(
            Subject(
                Backbone(Pooled(cell)), ImageData(*parts, 1, [], (0.5,) * 3, (0.25,) * 3, 96, "p", segment_names=names)
            )
        )
        for names in ((), CLASSES)
    )
    assert one["miou"] == pytest.approx(several["miou"], abs=1)
    assert one["pixel_acc"] == pytest.approx(several["pixel_acc"], abs=1)


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


# ---------------------------------------------------------------------- several classes of pixels


def test_the_classes_of_pixels_are_told_apart_and_void_counts_nowhere():
    """Void pixels are the only ones that are called the wrong class, as they look like the object."""
    scores = Segmentation(weight_decay=1e-6)(with_classes())
    assert scores["miou"] > 99
    assert scores["pixel_acc"] > 99
    assert "iou" not in scores
    assert scores["miou_majority"] < 35


def test_the_mean_over_classes_is_that_of_scikit_learn():
    found, truth = torch.randint(0, 5, (2, 7, 1, 9, 9), generator=torch.Generator().manual_seed(0)).byte()
    truth[0] = 255
    scores = segmentation_scores(found, truth, 5)
    pair = truth[1:].flatten().numpy(), found[1:].flatten().numpy()
    assert scores["miou"] == pytest.approx(100 * jaccard_score(*pair, average="macro"))
    assert scores["pixel_acc"] == pytest.approx(100 * accuracy_score(*pair))


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    truth = torch.tensor([[0, 1]], dtype=torch.uint8)[:, None, None]
    assert segmentation_scores(truth, truth, 21)["miou"] == pytest.approx(100)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_dilated_resnet_is_that_of_timm(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0).eval()
    dilated = timm.create_model(name, num_classes=0, output_stride=16).eval()
    dilated.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = Backbone(dilated).maps(images)
        assert Backbone(model).dilated().maps(images).equal(wanted)
        assert Backbone(model).maps(images).shape[-1] == wanted.shape[-1] // 2 == 2


def test_a_network_without_strides_to_remove_is_refused():
    with pytest.raises(UserError, match="dilated=false"):
        Segmentation(dilated=True)(subject())


def test_a_trained_head_learns_the_classes():
    found = FineTuneSegmentation(head="linear", dilated=False, lr=0.0, head_lr=8.0, epochs=12)(with_classes())
    assert found["miou"] > 70
    assert set(found) == {"miou", "pixel_acc"}


def test_a_head_is_trained_with_a_copy_of_the_backbone(resnet):
    before = copy.deepcopy(resnet.state_dict())
    probe = FineTuneSegmentation(epochs=1, batch_size=8)
    first, again = (probe(shapes(resnet)) for _ in range(2))
    assert first == again
    assert set(first) == {"miou", "iou", "pixel_acc"}
    assert all(torch.equal(value, before[name]) for name, value in resnet.state_dict().items())


def test_classes_travel_with_their_pixels():
    """Where a view shows a class by its brightness, it still does after the stretch; outside is void."""
    classes = torch.randint(0, 4, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    classes = classes.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    views = (classes.float() + 1).expand(-1, 3, -1, -1)
    moved, marked = stretch(views, classes, generator=torch.Generator().manual_seed(1))
    inside = marked != 255
    assert 0.3 < inside.float().mean() < 1
    assert (moved[:, :1] == 0)[~inside].float().mean() > 0.9
    near = (moved[:, :1] - marked.float() - 1).abs() < 0.5
    assert near[inside].float().mean() > 0.85
