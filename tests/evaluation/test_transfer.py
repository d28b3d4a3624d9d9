from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.knn import KNN
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.transfer import Transfer
from tests.data.published import caltech101, food101
from tests.evaluation.features import clouds, subject_of

COLORS = {"blue": (20, 20, 200), "green": (20, 200, 20), "red": (200, 20, 20)}


def paint(folder: Path, *, each: int = 8, size: int = 12, colors: dict = COLORS) -> Path:
    """Write plain images, one sub-folder a color."""
    draw = torch.Generator().manual_seed(0)
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            shade = tuple(int(c + torch.randint(20, (1,), generator=draw)) for c in color)
            Image.new("RGB", (size, size), shade).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def subject() -> Subject:
    return subject_of(clouds(8), clouds(8))


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_folder_of_splits_is_scored(tmp_path, subject, part):
    paint(tmp_path / "paints/train")
    paint(tmp_path / "paints" / part, each=2)
    scores = Transfer([str(tmp_path / "paints")])(subject)
    assert scores == {"paints/knn_acc1": 100.0, "paints/linear_acc1": 100.0, "mean_linear_acc1": 100.0}


def test_it_learns_from_train_and_is_scored_on_val(tmp_path, subject):
    paint(tmp_path / "paints/train")
    swapped = dict(zip(COLORS, reversed(COLORS.values()), strict=True))
    paint(tmp_path / "paints/val", each=2, colors=swapped)
    assert Transfer([str(tmp_path / "paints")])(subject)["mean_linear_acc1"] == pytest.approx(100 / 3)


def test_of_a_folder_of_classes_a_part_is_held_out(tmp_path, subject):
    paint(tmp_path / "paints")
    transfer = Transfer([str(tmp_path / "paints")])
    assert transfer(subject)["paints/linear_acc1"] == 100
    other = transfer.subject_on(subject, tmp_path / "paints", name="paints")
    assert [len(other.images(split)) for split in ("train", "val")] == [20, 4]


def test_scores_are_those_of_the_protocols_on_that_data(tmp_path, subject):
    paint(tmp_path / "paints", colors={"dark": (90, 90, 90), "light": (95, 95, 95), "red": (99, 90, 90)})
    transfer = Transfer([str(tmp_path / "paints")])
    other = transfer.subject_on(subject, tmp_path / "paints", name="paints")
    scores = transfer(subject)
    assert scores["paints/knn_acc1"] == KNN()(other)["acc1"]
    assert scores["paints/linear_acc1"] == Linear()(other)["acc1"]


def test_the_same_classifier_is_scored_on_images_with_a_hidden_part(tmp_path, subject):
    paint(tmp_path / "paints")
    scores = Transfer([str(tmp_path / "paints")], occluded=0.9)(subject)
    assert scores["mean_linear_acc1_occluded"] == scores["paints/linear_acc1_occluded"] < scores["mean_linear_acc1"]


def test_images_are_normalized_as_the_backbone_is_used_to(tmp_path, subject):
    other = Transfer("unused", image_size=6).subject_on(subject, paint(tmp_path / "paints"), name="paints")
    assert (other.data.mean, other.data.std) == (subject.data.mean, subject.data.std)
    assert other.view(other.images("val").image(0)[None]).shape == (1, 3, 6, 6)


def test_folders_of_equal_names_are_told_apart_and_averaged(tmp_path, subject):
    folders = [paint(tmp_path / parent / "paints") for parent in "ab"]
    scores = Transfer([str(folder) for folder in folders])(subject)
    assert {"paints/linear_acc1", "paints_2/linear_acc1", "paints/knn_acc1", "paints_2/knn_acc1"} <= set(scores)
    both = scores["paints/linear_acc1"] + scores["paints_2/linear_acc1"]
    assert scores["mean_linear_acc1"] == pytest.approx(both / 2)


def test_which_images_are_right_is_kept_for_every_score(tmp_path, subject):
    swapped = dict(zip(COLORS, reversed(COLORS.values()), strict=True))
    for folder, each, colors in (("one", 2, swapped), ("two", 5, COLORS)):
        paint(tmp_path / folder / "train")
        paint(tmp_path / folder / "val", each=each, colors=colors)
    scores = Transfer([str(tmp_path / "one"), str(tmp_path / "two")], occluded=0.5)(subject)
    assert subject.right.keys() >= scores.keys()
    assert scores["one/linear_acc1"] < scores["two/linear_acc1"]
    for name, score in scores.items():
        assert 100 * subject.right[name].double().mean().item() == pytest.approx(score), name


def test_values_are_those_of_the_training_or_it_is_said(tmp_path, subject):
    for name in COLORS:
        for number in range(4):
            pixels = torch.full((8, 8), 300 if number else 1000, dtype=torch.int32).numpy().astype("uint16")
            (tmp_path / "deep" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "deep" / name / f"{number}.png")
    trained = replace(subject, reading={"value_range": {"whole numbers": (0.0, 3000.0)}, "bands": None})
    found = Transfer("unused").subject_on(trained, tmp_path / "deep", name="deep")
    assert found.data.value_range == (0, 3000)
    with pytest.warns(UserWarning, match="deep: Values from 300 to 1000 .* since they hold whole numbers, and those"):
        assert Transfer("unused").subject_on(subject, tmp_path / "deep", name="deep").data.value_range == (300, 1000)


def test_images_of_other_channels_than_those_of_the_training_are_refused(tmp_path, subject):
    gray = replace(subject, data=replace(subject.data, mean=(0.5,), std=(0.5,)))
    with pytest.raises(UserError, match="'paints' cannot be read as the images of the training were: Expected mean"):
        Transfer(str(paint(tmp_path / "paints")))(gray)


def test_the_subject_and_its_features_are_as_before(tmp_path, subject):
    features = subject.features("train")
    before = {name: tensor.clone() for name, tensor in subject.backbone.state_dict().items()}
    Transfer(str(paint(tmp_path / "paints")))(subject)
    assert subject.features("train") is features
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.backbone.state_dict().items())


def test_a_missing_folder_is_named_before_any_work(tmp_path, subject):
    folders = [str(paint(tmp_path / "paints")), str(tmp_path / "nowhere")]
    with pytest.raises(UserError, match=r"protocol.transfer.folders.*nowhere"):
        Transfer(folders)(subject)


def test_a_folder_without_classes_is_refused_before_any_work(tmp_path, subject, monkeypatch):
    monkeypatch.setattr(Subject, "features", lambda *_: pytest.fail("scored another folder first"))
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat/one.png")
    folders = [str(paint(tmp_path / "paints")), str(tmp_path / "flat")]
    with pytest.raises(UserError, match=r"'flat' have no labels.*choose others by protocol\.transfer\.folders"):
        Transfer(folders)(subject)


def test_a_folder_that_the_run_was_trained_on_is_refused(tmp_path, subject):
    def refuse(data):
        raise UserError(f"trained on {data.name}")

    with pytest.raises(UserError, match="trained on paints"):
        Transfer(str(paint(tmp_path / "paints")))(replace(subject, refuse_trained=refuse))


@pytest.mark.parametrize(
    "wrong", [{"folders": []}, {"folders": ["a"], "image_size": 0}, {"folders": ["a"], "occluded": 1.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        Transfer(**{"folders": ["a"], **wrong})


def test_published_sets_have_the_metric_of_their_papers(tmp_path, subject):
    caltech101(tmp_path / "a")
    food101(tmp_path / "b")
    scores = Transfer(sets={"caltech101": str(tmp_path / "a"), "food101": str(tmp_path / "b")})(subject)
    kinds = {"knn_acc1", "linear_acc1"}
    assert set(scores) == {
        "mean_linear_acc1",
        *(f"food101/{kind}" for kind in kinds),
        *(f"caltech101/{kind}" for kind in (*kinds, "knn_mean_per_class", "linear_mean_per_class")),
    }
    assert scores["mean_linear_acc1"] == pytest.approx(
        (scores["food101/linear_acc1"] + scores["caltech101/linear_acc1"]) / 2
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [({"flower102": "x"}, "did you mean 'flowers102'"), ({"flowers102": "/nowhere"}, "setid.mat, but .* is missing")],
)
def test_sets_that_are_unknown_or_not_there_are_named(subject, sets, said):
    with pytest.raises(UserError, match=said):
        Transfer(sets=sets)(subject)


def test_without_folders_and_sets_both_are_named():
    with pytest.raises(ValueError, match=r"protocol\.transfer\.folders=\[DIR\] or protocol\.transfer\.sets"):
        Transfer()


def test_a_vit_sees_images_of_another_size_with_its_positions_resampled(tmp_path, subject):
    paint(tmp_path / "paints")
    shape = {"patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 3}
    vit = Backbone(timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=4, **shape)).eval()
    scores = Transfer([str(tmp_path / "paints")], image_size=12)(replace(subject, backbone=vit))
    assert scores["paints/linear_acc1"] > 50
    # The backbone of the others has stayed as it was.
    assert vit.model.patch_embed.img_size == (4, 4)
    assert vit.model.pos_embed.shape == (1, 2, 24)


def test_a_swin_says_which_size_its_images_must_have(tmp_path, subject):
    paint(tmp_path / "paints")
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=56, window_size=7, depths=(1, 1))
    with pytest.raises(UserError, match=r"takes images of 56 px alone.*set protocol\.transfer\.image_size=56"):
        Transfer([str(tmp_path / "paints")], image_size=112)(replace(subject, backbone=Backbone(swin).eval()))
