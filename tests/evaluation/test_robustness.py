from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from amask_solo.data import ArrayImages, ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.disturbances import CORRUPTIONS, STRENGTHS, load_occluders, pasted
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.robustness import Robustness

SIZE = 16
OBJECT = slice(6, 10)


class Look(nn.Module):
    """Features that see one part of an image alone: the middle, or the upper left corner."""

    num_features = 3

    def __init__(self, part: slice) -> None:
        super().__init__()
        self.part = part

    def forward(self, images):
        return images[..., self.part, self.part].mean(dim=(-2, -1))


MIDDLE, CORNER = Look(OBJECT), Look(slice(0, 3))


def squares(*, background: bool) -> ImageData:
    """Draw squares before a plain background; the class is the color of one, the other is gray."""

    def draw(count):
        labels = torch.arange(count) % 2
        objects = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.bool)
        objects[..., OBJECT, OBJECT] = True
        colored = ~objects if background else objects
        images = torch.where(colored, 28 + 200 * labels[:, None, None, None], 128).expand(-1, 3, -1, -1)
        return ArrayImages(images.byte(), labels, objects)

    return ImageData(draw(40), draw(40), 2, ["dark", "bright"], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), SIZE, "squares")


def score(look: Look, data: ImageData, **settings) -> dict[str, float]:
    areas = settings.pop("areas", [])
    occluders = settings.pop("occluders", None)
    return Robustness(areas, occluders=occluders)(Subject(Backbone(look), data, **settings))


def test_who_looks_at_the_background_alone_is_fooled_by_another():
    scores = score(CORNER, squares(background=True))
    no_background = scores.pop("acc1_no_background")
    assert scores == {
        "acc1": 100.0,
        "acc1_same_class_background": 100.0,
        "acc1_other_background": 0.0,
        "background_gap": 100.0,
    }
    assert no_background == 100.0  # its mean color is all that it had


def test_who_looks_at_the_object_alone_is_not():
    scores = score(MIDDLE, squares(background=False))
    assert scores.pop("background_gap") == 0.0
    assert set(scores.values()) == {100.0}


def test_the_object_on_the_other_background_is_removed():
    # Objects lie in different places by class, so those of the other images would show beside one's own.
    data = squares(background=False)
    for images in (data.train, data.val):
        shifted = images.labels == 1
        images.masks[shifted] = images.masks[shifted].roll(8, dims=-1)
        images.images[shifted] = images.images[shifted].roll(8, dims=-1)
    scores = score(Look(slice(0, SIZE)), data)
    assert scores["acc1_other_background"] == 100.0


class Witness(Look):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__(slice(0, SIZE))
        self.shown = []

    def forward(self, images):
        self.shown.append(images)
        return super().forward(images)


def with_rims(data: ImageData) -> ImageData:
    """Make a ring of void of the rims of the objects and what touches them, as in Pascal VOC."""
    for images in (data.train, data.val):
        outer, around = (F.max_pool2d(m.float(), 3, stride=1, padding=1).bool() for m in (images.masks, ~images.masks))
        images.masks, images.void = ~around, outer & around
    return data


def test_no_rim_of_the_object_on_the_other_background_is_left():
    witness = Witness()
    score(witness, with_rims(squares(background=False)))
    for view in witness.shown[2:]:  # the backgrounds: of the same class, another, none
        for kind in (0, 1):
            shades, counts = view[kind::2, 0].unique(return_counts=True)
            assert len(shades) == 2  # gray and its own
            assert counts.min() == 20 * 4 * 4


def noisy_squares(count, *, seed):
    """Draw squares of a shade that varies within the class, before noise that tells nothing."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    masks = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.bool)
    masks[..., 4:12, 4:12] = True
    shade = 108 + 40 * labels + 40 * torch.randn(count, generator=draw)
    noise = torch.randint(120, 137, (count, 3, SIZE, SIZE), generator=draw)
    return ArrayImages(torch.where(masks, shade[:, None, None, None], noise).clamp(0, 255).byte(), labels, masks)


@pytest.mark.parametrize("ring", [False, True])
def test_backgrounds_that_tell_nothing_leave_no_gap_with_or_without_void(ring):
    parts = [noisy_squares(600, seed=seed) for seed in (0, 1)]
    data = ImageData(*parts, 2, ["dark", "bright"], (0.5,) * 3, (0.25,) * 3, SIZE, "noisy")
    scores = score(Look(slice(0, SIZE)), with_rims(data) if ring else data)
    assert 60 < scores["acc1"] < 80  # so there is room for a gap
    assert abs(scores["background_gap"]) < 2


def test_occlusion_that_hides_what_is_looked_at_costs_accuracy_as_it_grows():
    scores = score(MIDDLE, squares(background=False), areas=[0.1, 0.5, 0.9])
    # The middle is always hidden in full at last, and what is hidden looks like neither class.
    assert scores["acc1"] == 100.0
    assert scores["acc1_area0.9"] < 90
    assert scores["acc1"] >= scores["acc1_area0.1"] >= scores["acc1_area0.5"] >= scores["acc1_area0.9"]
    curve = [scores[name] for name in ("acc1", "acc1_area0.1", "acc1_area0.5", "acc1_area0.9")]
    assert scores["acc1_curve"] == pytest.approx(np.trapezoid(curve, [0.0, 0.1, 0.5, 0.9]) / 0.9)


def test_images_that_are_all_object_or_have_none_do_not_count_before_other_backgrounds():
    data = squares(background=True)
    data.val.masks[:8] = True
    data.val.masks[8:12] = False
    assert score(CORNER, data)["acc1_other_background"] == 0.0


def test_without_object_masks_there_are_no_scores_of_backgrounds():
    data = squares(background=True)
    bare = replace(data, val=ArrayImages(data.val.images, data.val.labels))
    assert set(score(CORNER, bare, areas=[0.3])) == {"acc1", "acc1_area0.3", "acc1_curve"}


def test_the_clean_score_is_that_of_the_linear_protocol():
    data = make_shapes(num_train=96, num_val=64, num_classes=4)
    subject = Subject(Backbone(Look(slice(0, 32))), data)
    assert Robustness([])(subject)["acc1"] == Linear()(subject)["acc1"]


def test_a_seed_decides_the_rectangles_and_the_backgrounds_and_the_global_stream_nothing():
    data = make_shapes(num_train=96, num_val=64, num_classes=4)
    backbone = Backbone(Look(slice(0, 32)))
    before = torch.get_rng_state()
    first = Robustness([0.3])(Subject(backbone, data, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert first == Robustness([0.3])(Subject(backbone, data, seed=1))
    assert first != Robustness([0.3])(Subject(backbone, data, seed=2))


def test_the_scores_of_backgrounds_do_not_depend_on_the_batch_size():
    data = make_shapes(num_train=96, num_val=50, num_classes=4)
    backbone = Backbone(Look(slice(0, 32)))
    small, large = (Robustness([])(Subject(backbone, data, batch_size=size)) for size in (7, 256))
    assert small == pytest.approx(large, abs=2.1)  # one image may tip over by rounding


def test_images_without_a_label_are_left_out():
    data = squares(background=True)
    labels = data.val.labels.clone()
    labels[1::2] = -1
    labels[1] = 1
    scores = score(CORNER, replace(data, val=ArrayImages(data.val.images, labels, data.val.masks)))
    assert (scores["acc1"], scores["acc1_other_background"]) == (100.0, 0.0)


def test_data_without_validation_images_are_a_mistake_of_the_user():
    with pytest.raises(UserError, match="no validation images"):
        score(MIDDLE, replace(squares(background=True), val=None))


def paint_occluders(folder, masks):
    """Write black pictures with white objects in the given places."""
    for number, mask in enumerate(masks):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(mask.numpy().astype(np.uint8) * 255).convert("RGB" if kind == "images" else "L").save(
                folder / kind / f"{number}.png"
            )
    return str(folder)


def places(part):
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[part, part] = True
    return mask


def test_objects_of_other_pictures_cost_what_they_hide(tmp_path):
    data = squares(background=False)
    folder = paint_occluders(tmp_path, [places(OBJECT)])
    hidden = score(MIDDLE, data, occluders=folder)
    # Nothing of the class is left: dark and bright look alike, whatever is pasted.
    assert (hidden["acc1"], hidden["acc1_outlines"], hidden["acc1_objects"]) == (100, 50, 50)
    assert hidden["outline_area"] == pytest.approx(1 / 16)


@pytest.mark.parametrize(("stored", "view"), [(16, 16), (64, 56)])
def test_the_area_of_outlines_is_that_of_the_views(tmp_path, stored, view):
    side = stored // 4
    mask = torch.zeros(stored, stored, dtype=torch.bool)
    mask[side:-side, side:-side] = True
    gray = ArrayImages(torch.full((4, 3, stored, stored), 128, dtype=torch.uint8), torch.arange(4) % 2)
    stats = ((0.0,) * 3, (1.0,) * 3)
    data = ImageData(gray, gray, 2, ["a", "b"], *stats, view, "gray")
    found = score(Witness(), data, occluders=paint_occluders(tmp_path, [mask]))["outline_area"]
    assert found == pytest.approx((2 * side / view) ** 2)


def test_an_outline_shows_the_mean_color_and_an_object_its_own(tmp_path):
    folder = paint_occluders(tmp_path, [places(slice(0, 3)), places(slice(0, 3)).flip(1)])
    objects = load_occluders(folder, size=SIZE)
    subject = Subject(Backbone(CORNER), squares(background=True))
    images = subject.labeled("val")
    outlines, pasted_objects = (
        torch.cat(list(pasted(subject, images, objects, outlines=outlines))) for outlines in (True, False)
    )
    clean = torch.cat([subject.view(pixels) for pixels, _ in subject.batches(images)])
    changed = (outlines != clean).any(dim=1)
    assert torch.equal(changed, (pasted_objects != clean).any(dim=1))
    assert outlines.movedim(1, -1)[changed].abs().max() < 0.02
    assert pasted_objects.movedim(1, -1)[changed].min() == pytest.approx(2)
    lies_left = changed[:, 0, 0]
    assert 5 < lies_left.sum() < 35


def test_a_folder_without_objects_is_a_mistake_of_the_user(tmp_path):
    with pytest.raises(UserError, match="images"):
        score(MIDDLE, squares(background=False), occluders=str(tmp_path))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_grows_with_its_strength_and_a_seed_decides_it(kind):
    images = make_shapes(num_train=8, num_val=8, num_classes=4).train.stack()
    draw = torch.Generator()
    made = [CORRUPTIONS[kind](images, strength, draw.manual_seed(0)) for strength in STRENGTHS]
    assert all(pixels.dtype == torch.uint8 and pixels.shape == images.shape for pixels in made)
    errors = [(pixels.float() - images.float()).square().mean() for pixels in made]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert torch.equal(made[1], CORRUPTIONS[kind](images, 2, draw.manual_seed(0)))


def test_corruptions_are_scored_one_by_one_and_together():
    data = make_shapes(num_train=96, num_val=64, num_classes=4)
    subject = Subject(Backbone(Look(slice(0, 32))), data)
    scores = Robustness([], corruptions=True)(subject)
    each = [scores[f"acc1_{kind}_{strength}"] for kind in CORRUPTIONS for strength in STRENGTHS]
    assert scores["acc1_corrupted"] == pytest.approx(np.mean(each))
    # A network that sees mean colors alone does not mind blur, which keeps them.
    assert scores["acc1_blur_1"] == pytest.approx(scores["acc1"], abs=5)


@pytest.mark.parametrize("area", [0.0, 1.0, 30.0])
def test_an_area_outside_of_0_and_1_is_refused(area):
    with pytest.raises(ValueError, match="Expected areas"):
        Robustness([area])


def test_which_images_are_right_is_kept_for_means_too():
    subject = Subject(Backbone(MIDDLE), squares(background=False))
    scores = Robustness([0.1, 0.5], corruptions=True)(subject)
    assert subject.right.keys() == scores.keys() - {"background_gap"}
    for name, right in subject.right.items():
        assert 100 * right.double().mean().item() == pytest.approx(scores[name]), name


@pytest.mark.parametrize("setting", [{"corruptions": True}, {"occluders": "pictures"}])
def test_color_disturbances_of_other_images_are_a_mistake_of_the_user(setting):
    data = replace(squares(background=True), mean=(0.5,), std=(0.25,))
    with pytest.raises(UserError, match="have 1 channels; leave"):
        Robustness([], **setting)(Subject(Backbone(MIDDLE), data))


def test_images_are_read_once_for_all_that_is_done_to_them(monkeypatch):
    subject, read = Subject(Backbone(MIDDLE), squares(background=False)), []
    monkeypatch.setattr(ArrayImages, "stack", lambda images: read.append(images) or images.images)
    assert set(Robustness([0.1, 0.25], corruptions=True)(subject)) > {"acc1_area0.1", "acc1_corrupted"}
    assert [images for images in read if images in (subject.data.train, subject.data.val)] == read[:2]
