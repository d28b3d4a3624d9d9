"""Published data sets by name, from tiny folders in the layout of their archives."""

import json
from collections import Counter

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.augment.views import Views
from amask_solo.configuration import config_folder, instantiate
from amask_solo.data import ImageData, load_image_folder
from amask_solo.data.image_folder import read_classes
from amask_solo.errors import UserError
from amask_solo.runs.datamodule import ViewsData
from amask_solo.settings.pretraining import check_downloaded
from tests.data.pictures import labeled_tree, truncate
from tests.data.published import LAYOUTS, NINE, forget_checksums, imagenet
from tests.tiny import thin_networks, tiny_cfg, tiny_trainer

SIZES = {  # images to learn from, images to score, classes
    "flowers102": (8, 4, 102),
    "food101": (8, 4, 2),
    "caltech101": (60, 8, 2),
    "cars": (8, 4, 2),
    "aircraft": (8, 4, 2),
    "dtd": (8, 4, 2),
    "pets": (8, 4, 2),
    "inaturalist": (8, 4, 2),
    "inaturalist2019": (8, 4, 2),
    "tinyimagenet": (8, 4, 2),
    "backgrounds": (9, 9, 9),
}


def settings(config, root, **changes):
    node = OmegaConf.to_container(OmegaConf.load(config_folder() / "data" / f"{config}.yaml"))
    return OmegaConf.create({**node, "root": str(root), **changes})


@pytest.fixture
def without_checksums(monkeypatch):
    forget_checksums(monkeypatch)


@pytest.fixture
def published(tmp_path, without_checksums):
    def published(name, **changes) -> ImageData:
        if not any(tmp_path.iterdir()):
            LAYOUTS[name](tmp_path)
        return instantiate(settings(name, tmp_path, image_size=32, **changes), "data")

    return published


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_method_learns_from_the_files_as_their_archives_unpack(name, published, host):
    data = published(name)
    assert (len(data.train), len(data.val), data.num_classes) == SIZES[name]
    recipe = OmegaConf.to_container(OmegaConf.load(config_folder() / "augmentations" / "symmetric.yaml"))
    recipe = [{**view, "crop_size": 32} for view in recipe] if isinstance(recipe, list) else recipe
    views = Views(recipe, mean=data.mean, std=data.std)
    batches = ViewsData(data, views, batch_size=4, num_workers=0)
    with thin_networks():
        method = host.stock("simclr")(tiny_cfg("simclr", **{"data.num_classes": data.num_classes}))
    trainer = tiny_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1)
    trainer.fit(method, batches)
    assert trainer.global_step == 1
    assert trainer.callback_metrics["val_loss"].isfinite()


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [
        ("flowers102", "flowers-102/jpg/image_00009.jpg", "pink primrose"),
        ("food101", "food-101/images/waffles/5.jpg", "waffles"),
        ("cars", "stanford_cars/cars_test/00002.jpg", "smart fortwo"),
        ("aircraft", "fgvc-aircraft-2013b/data/images/0000009.jpg", "Boeing 717"),
        ("dtd", "dtd/dtd/images/zigzagged/zigzagged_21.jpg", "zigzagged"),
        ("pets", "oxford-iiit-pet/images/yorkshire_terrier_6.jpg", "Yorkshire Terrier"),
        ("inaturalist2019", "train_val2019/Birds/9/5.jpg", "Turdus merula"),
        ("tinyimagenet", "val/images/val_1.JPEG", "n01443537"),
        ("backgrounds", "bg_challenge/original/val/08_fish/fg_8_0.JPEG", "08_fish"),
    ],
)
def test_a_file_to_score_has_the_class_that_the_lists_say(name, file, kind, published):
    data = published(name)
    labels = dict(zip(data.val.names, data.val.labels.tolist(), strict=True))
    assert data.class_names[labels[file]] == kind


def test_of_caltech_thirty_random_images_a_class_are_learned_from(published):
    data, other = published("caltech101"), published("caltech101", seed=1)
    assert Counter(data.train.labels.tolist()) == {0: 30, 1: 30}
    assert data.class_names == ["accordion", "yin_yang"]
    assert not set(data.train.names) & set(data.val.names)
    assert set(data.train.names) != set(other.train.names)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_set_that_is_not_there_says_what_is_expected_where(name, tmp_path):
    node = settings(name, tmp_path / "nowhere")
    for check in (check_downloaded, lambda node: instantiate(node, "data")):
        with pytest.raises(UserError, match=rf"in data\.root={tmp_path}/nowhere, as .*{node.holds[-1]}.*") as said:
            check(node)
        assert "\n" not in str(said.value)
        assert ("data.download=true" in str(said.value)) == ("download" in node)
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_there_in_part_says_what_is_missing(tmp_path):
    LAYOUTS["flowers102"](tmp_path)
    (tmp_path / "flowers-102/setid.mat").unlink()
    with pytest.raises(UserError, match=r"but flowers-102/setid\.mat is missing"):
        check_downloaded(settings("flowers102", tmp_path))


def test_splits_with_other_classes_are_refused(tmp_path):
    LAYOUTS["food101"](tmp_path)
    (tmp_path / "food-101/meta/test.json").write_text(json.dumps({"waffles": ["waffles/4"]}))
    for changes in ({}, {"train": [{"split": "train"}, {"split": "test"}], "val": None}):
        with pytest.raises(UserError, match="2 classes of the other splits, but it has 1"):
            instantiate(settings("food101", tmp_path, **changes), "data")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "Flower102"}, "did you mean 'Flowers102'"),
        ({"kind": "CIFAR10"}, "CIFAR10"),
        ({"train": {"split": "all"}}, "Unknown value 'all' for argument split"),
        ({"train": {"part": "train"}}, "unexpected keyword argument 'part'"),
    ],
)
def test_mistakes_in_a_set_of_ones_own_are_one_line(changes, said, tmp_path):
    LAYOUTS["food101"](tmp_path)
    with pytest.raises(UserError, match=said):
        instantiate(settings("food101", tmp_path, **changes), "data")


def test_another_set_of_torchvision_needs_settings_alone(tmp_path):
    classes = {"AnnualCrop": 5, "River": 5}
    labeled_tree(tmp_path / "eurosat" / "2750", classes=classes)
    changes = {"kind": "EuroSAT", "name": "eurosat", "holds": ["eurosat/2750"], "train": {}, "val": None}
    data = instantiate(settings("food101", tmp_path, **changes), "data")
    assert (len(data.train), len(data.val), data.class_names) == (8, 2, list(classes))


def test_variants_are_other_images_of_the_same_classes_and_choosing_settings_sees_none(published):
    data = published("backgrounds")
    assert {"mixed_same", "mixed_rand", "only_fg"} < set(data.variants)
    assert data.gaps == {"bg_gap": ("mixed_same", "mixed_rand")}
    for name, variant in data.variants.items():
        assert variant.train is data.train
        assert all(f"/{name}/" in file for file in variant.val.names)
        assert variant.class_names == data.class_names
    with pytest.warns(UserWarning, match="images are not trained on"):
        assert not published("backgrounds", tune_fraction=0.5, train=[{"folder": "in9l/train"}] * 2).variants


def test_what_an_unreadable_file_does_holds_for_variants_too(tmp_path):
    LAYOUTS["backgrounds"](tmp_path)
    truncate(next((tmp_path / "bg_challenge/only_fg/val").rglob("*.*")))
    with pytest.warns(UserWarning, match="Skipped 1 unreadable"):
        data = instantiate(settings("backgrounds", tmp_path, on_error="skip"), "data")
    assert len(data.variants["only_fg"].val) == len(data.variants["mixed_rand"].val) - 1


# ---------------------------------------------------------------------- ImageNet and its parts


@pytest.mark.parametrize(("name", "size"), [("imagenet100", 224), ("imagenet100s", 96)])
def test_imagenet100_is_the_published_hundred_in_imagenets_folder(name, size, tmp_path):
    hundred = read_classes("imagenet100")
    assert len(set(hundred)) == 100
    imagenet(tmp_path, hundred, train=1)
    data = instantiate(settings(name, tmp_path), "data")
    assert (data.class_names, data.name, data.image_size) == (sorted(hundred), name, size)
    assert (len(data.train), len(data.val)) == (100, 100)


def test_all_of_imagenet_is_every_folder(tmp_path):
    imagenet(tmp_path, ["n01440764"])
    assert instantiate(settings("imagenet", tmp_path), "data").class_names == ["n00000000", "n01440764"]


def test_missing_classes_of_imagenet100_are_counted_and_named(tmp_path):
    imagenet(tmp_path, read_classes("imagenet100")[2:])
    with pytest.raises(UserError, match=rf"each of 100 classes in data\.root={tmp_path}/train, but 2 are missing: n"):
        instantiate(settings("imagenet100", tmp_path), "data")


def test_ones_own_list_of_classes_is_a_text_file(tmp_path):
    imagenet(tmp_path, ["n01440764", "n01443537"])
    (tmp_path / "mine.txt").write_text("n01443537  # goldfish\nn00000000\nn01443537\n")
    data = instantiate(settings("imagenet", tmp_path, classes=str(tmp_path / "mine.txt")), "data")
    assert data.class_names == ["n00000000", "n01443537"]
    assert len({*data.train.files}) == len(data.train.files)
    with pytest.raises(UserError, match="a text file or imagenet100, but got 'imagenet10'"):
        instantiate(settings("imagenet", tmp_path, classes="imagenet10"), "data")


@pytest.mark.parametrize("settings", [{}, {"labels": "none"}])
def test_folders_by_path_have_no_classes_beside_the_list(tmp_path, settings):
    (tmp_path / "mine.txt").write_text("a\nb\nc\n")
    given = {"classes": str(tmp_path / "mine.txt"), "image_size": 16, **settings}
    labeled_tree(tmp_path / "sorted", classes={"a": 2, "c": 2})
    data = load_image_folder(train_path=str(tmp_path / "sorted"), **given)
    assert data.class_names == ([] if settings else ["a", "c"])
    labeled_tree(tmp_path / "all", classes={"a": 2, "c": 2, "wolf": 2})
    with pytest.raises(UserError, match=r"data\.train_path=.*/all, but 1 others are there \(wolf\); give data\.root="):
        load_image_folder(train_path=str(tmp_path / "all"), **given)


def test_a_list_of_classes_that_is_not_there_is_named_with_folders_by_path_too(tmp_path):
    root = labeled_tree(tmp_path, classes={"a": 2, "b": 2})
    with pytest.raises(UserError, match=r"data\.classes.*'/nowhere/typo\.txt'"):
        load_image_folder(train_path=str(root), classes="/nowhere/typo.txt", image_size=16)


@pytest.mark.parametrize("key", ["train_path", "val_path"])
def test_a_root_goes_with_no_other_path(tmp_path, key):
    imagenet(tmp_path, ["n01440764"])
    with pytest.raises(UserError, match=rf"data\.root={tmp_path}, .* but got both"):
        load_image_folder(root=str(tmp_path), **{key: str(tmp_path / "train")}, image_size=16)


@pytest.mark.parametrize("name", ["imagenet", "imagenet100"])
def test_without_any_folder_the_two_ways_to_give_one_are_named(name):
    node = OmegaConf.load(config_folder() / "data" / f"{name}.yaml")
    with pytest.raises(UserError, match=r"data\.root=DIR, a folder with train and val in it, or data\.train_path=DIR"):
        instantiate(node, "data")


def test_predictions_of_imagenet_classes_count_as_the_nine(tmp_path):
    LAYOUTS["backgrounds"](tmp_path)
    dog, fish = "n02085620", "n01440764"
    imagenet(tmp_path / "in", [dog, fish])
    node = settings("imagenet_backgrounds", tmp_path, imagenet=str(tmp_path / "in"), classes=None, image_size=32)
    data = instantiate(node, "data")
    assert data.class_names == ["n00000000", fish, dog]
    variant = data.variants["mixed_rand"]
    assert variant.counts_as == (9, 8, 0)
    assert variant.class_names == [*NINE, "other"]
    assert torch.equal(variant.val.labels, torch.arange(9))


def test_the_seed_decides_which_images_of_the_challenge_are_taken(tmp_path):
    LAYOUTS["backgrounds"](tmp_path)
    imagenet(tmp_path / "in", ["n02085620", "n01440764"])
    given = {"imagenet": str(tmp_path / "in"), "classes": None, "image_size": 32, "max_images": 3}
    taken = [
        instantiate(settings("imagenet_backgrounds", tmp_path, seed=seed, **given), "data")
        .variants["only_fg"]
        .val.names
        for seed in range(4)
    ]
    assert len({*map(tuple, taken)}) > 1
