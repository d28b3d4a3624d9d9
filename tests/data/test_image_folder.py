import os
from functools import partial

import pytest
import torch
from PIL import Image

from amask_solo.data import load_image_folder
from amask_solo.errors import UserError
from tests.data.pictures import labeled_tree, noise, save, truncate


def test_sub_folders_are_classes_at_any_depth(tmp_path):
    save(noise(), tmp_path / "cat" / "a.png")
    save(noise(), tmp_path / "cat" / "more" / "deep" / "b.jpg")
    save(noise(), tmp_path / "dog" / "c.JPEG", format="JPEG")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "dog" / "._c.jpg").write_bytes(b"left behind by another system")
    data = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0)
    assert data.class_names == ["cat", "dog"]
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.val is None
    index, image, label = data.train[1]
    assert (index, image.shape, image.dtype, label) == (1, (3, 18, 18), torch.uint8, 0)


def test_links_to_class_folders_are_followed(tmp_path):
    labeled_tree(tmp_path / "all", classes={"a": 2, "b": 2, "c": 2})
    (tmp_path / "subset").mkdir()
    for name in "ab":
        os.symlink(tmp_path / "all" / name, tmp_path / "subset" / name)
    data = load_image_folder(train_path=str(tmp_path / "subset"), image_size=16, val_fraction=0.0)
    assert (data.class_names, len(data.train)) == (["a", "b"], 4)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", ["..", ".", "../..", "../b"])
def test_a_link_that_leads_in_a_circle_is_walked_once(tmp_path, target):
    root = labeled_tree(tmp_path / "set", classes={"a": 2, "b": 2})
    save(noise(), tmp_path / "elsewhere.png")
    for number in range(12):
        os.symlink(target, root / "a" / f"loop{number}")
    os.symlink("../a", root / "b" / "back")
    data = load_image_folder(train_path=str(root), image_size=16, val_fraction=0.0)
    assert [file.relative_to(root).as_posix() for file in data.train.files] == [
        f"{name}/{item:03}.png" for name in "ab" for item in range(2)
    ]


def test_a_folder_that_two_links_lead_to_is_taken_once(tmp_path):
    labeled_tree(tmp_path / "elsewhere", classes={"x": 3})
    root = labeled_tree(tmp_path / "set", classes={"a": 1, "b": 1})
    for name in "ab":
        os.symlink(tmp_path / "elsewhere" / "x", root / name / "more")
    data = load_image_folder(train_path=str(root), image_size=16, val_fraction=0.0)
    assert data.train.labels.tolist() == [0, 0, 0, 0, 1]


def test_links_that_lead_nowhere_are_no_folders_and_a_picture_that_is_gone_is_named(tmp_path):
    labeled_tree(tmp_path, classes={"a": 1, "b": 1})
    os.symlink("nowhere", tmp_path / "c")
    os.symlink("itself", tmp_path / "itself")
    assert load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0).class_names == ["a", "b"]
    os.symlink("nowhere.png", tmp_path / "a" / "gone.png")
    with pytest.warns(UserWarning, match=r"Skipped 1 unreadable of 3 images: .*gone\.png"):
        load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0, on_error="skip")


@pytest.mark.parametrize("layout", ["flat", "mixed", "one_folder", "asked", "asked_of_mixed"])
def test_other_trees_have_no_labels(tmp_path, layout):
    folders = {"flat": ["", ""], "mixed": ["", "a"], "one_folder": ["a", "a"], "asked": ["a", "b"]}
    folders["asked_of_mixed"] = ["", "a", "b"]
    for number, folder in enumerate(folders[layout]):
        save(noise(), tmp_path / folder / f"{number}.png")
    labels = "none" if layout.startswith("asked") else "auto"
    data = load_image_folder(train_path=str(tmp_path), image_size=16, labels=labels)
    assert data.train.labels.tolist() == [-1] * len(folders[layout])
    assert (data.num_classes, data.class_names, data.labeled, data.val) == (1, [], False, None)


@pytest.mark.parametrize("strays", [["cover.jpg"], ["cover.jpg", "map.png"]])
def test_images_beside_classes_do_not_drop_the_labels_unsaid(tmp_path, strays):
    labeled_tree(tmp_path, classes={"a": 2, "b": 2})
    for name in strays:
        save(noise(), tmp_path / name)
    more = ", ..." if len(strays) > 1 else ""
    with pytest.raises(UserError, match=rf"data\.train_path.*\(a, b\).*lies cover\.jpg{more};.*data\.labels=none"):
        load_image_folder(train_path=str(tmp_path), image_size=16)


def test_hidden_folders_are_no_classes(tmp_path):
    labeled_tree(tmp_path, classes={"a": 2, "b": 2, ".ipynb_checkpoints": 1})
    save(noise(), tmp_path / "a" / ".thumbnails" / "a.png")
    data = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0)
    assert (data.class_names, len(data.train)) == (["a", "b"], 4)


def test_without_a_validation_folder_a_part_of_each_class_is_held_out(tmp_path):
    labeled_tree(tmp_path, classes={"a": 10, "b": 20})
    data = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.2, seed=3)
    assert data.val.labels.bincount().tolist() == [2, 4]
    assert data.train.labels.bincount().tolist() == [8, 16]
    assert not set(data.train.files) & set(data.val.files)
    again = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.2, seed=3)
    assert again.val.files == data.val.files


def test_classes_that_are_held_out_as_a_whole_are_counted(tmp_path):
    tree = labeled_tree(tmp_path, classes={f"class{number:02}": 1 for number in range(20)})
    with pytest.warns(UserWarning, match="2 of the classes to score on have no other image"):
        load_image_folder(train_path=str(tree), image_size=8)


@pytest.mark.parametrize("split", [{"val_fraction": 0.25}, {"val_fraction": 0.0, "tune_fraction": 0.25}])
def test_a_file_that_links_lead_to_is_not_in_both_parts(tmp_path, split):
    root = labeled_tree(tmp_path, classes={"a": 8, "b": 8})
    for file in [*root.rglob("*.png")]:
        os.symlink(file.name, file.with_name(f"again_{file.name}"))
    with pytest.warns(UserWarning, match="4 of 32 images are not trained on, since the same files are held") as warned:
        data = load_image_folder(train_path=str(root), image_size=16, **split)
    places = [{file.resolve() for file in part.files} for part in (data.train, data.val)]
    assert (len(warned), len(data.train), len(data.val), len(places[0] & places[1])) == (1, 24, 4, 0)


def test_validation_classes_are_numbered_as_in_training(tmp_path):
    train = labeled_tree(tmp_path / "train", classes={"a": 2, "b": 2, "c": 2})
    val = labeled_tree(tmp_path / "val", classes={"b": 1, "c": 1})
    data = load_image_folder(train_path=str(train), val_path=str(val), image_size=16)
    assert data.val.labels.tolist() == [1, 2]
    assert len(data.train) == 6


def test_a_validation_class_that_training_lacks_is_named(tmp_path):
    train = labeled_tree(tmp_path / "train", classes={"a": 2, "b": 2})
    val = labeled_tree(tmp_path / "val", classes={"a": 1, "wolf": 1})
    with pytest.raises(UserError, match="wolf"):
        load_image_folder(train_path=str(train), val_path=str(val), image_size=16)


def test_a_validation_folder_without_classes_is_refused(tmp_path):
    train = labeled_tree(tmp_path / "train", classes={"a": 2, "b": 2})
    save(noise(), tmp_path / "val" / "a.png")
    with pytest.raises(UserError, match=r"sub-folder for each class in data\.val_path"):
        load_image_folder(train_path=str(train), val_path=str(tmp_path / "val"), image_size=16)


def test_a_validation_folder_of_an_unlabeled_set_has_no_labels(tmp_path):
    save(noise(), tmp_path / "train" / "a.png")
    val = labeled_tree(tmp_path / "val", classes={"a": 1, "b": 1})
    data = load_image_folder(train_path=str(tmp_path / "train"), val_path=str(val), image_size=16)
    assert data.val.labels.tolist() == [-1, -1]


@pytest.mark.parametrize(("val", "count"), [("set", 4), ("link", 4), ("set/../set", 4), ("set/a", 2), ("links", 2)])
def test_validating_on_training_images_alone_is_refused(tmp_path, val, count):
    root = labeled_tree(tmp_path / "set", classes={"a": 2, "b": 2})
    os.symlink("set", tmp_path / "link")
    (tmp_path / "links").mkdir()
    os.symlink("../set/b", tmp_path / "links" / "b")
    labels = "none" if val == "set/a" else "auto"
    with pytest.raises(UserError, match=f"but all {count} below '{tmp_path / val}' are"):
        load_image_folder(train_path=str(root), val_path=str(tmp_path / val), labels=labels, image_size=16)


def test_some_training_images_among_those_to_validate_on_are_counted(tmp_path):
    train, val = (labeled_tree(tmp_path / name, classes={"a": 3, "b": 3}) for name in ("train", "val"))
    os.symlink(train / "a", val / "a" / "more")
    with pytest.warns(UserWarning, match="3 of the 9 images to validate on, .* are trained on too") as warned:
        data = load_image_folder(train_path=str(train), val_path=str(val), image_size=16)
    assert (len(warned), len(data.val)) == (1, 9)


@pytest.mark.parametrize("key", ["train_path", "val_path"])
def test_a_missing_or_empty_folder_is_one_line_with_its_key_and_path(tmp_path, key):
    paths = {"train_path": str(labeled_tree(tmp_path / "good", classes={"a": 1, "b": 1}))}
    for path, what in ((tmp_path / "nowhere", "folder"), (tmp_path / "empty", "images")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=rf"Expected .*{what}.*data\.{key}={path}") as caught:
            load_image_folder(**(paths | {key: str(path)}), image_size=16)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "val"], "train, val"),
        (["train/a", "train/b", "test/a"], "test, train"),
        (["train2017", "val2017", "test2017"], "test2017, train2017, val2017"),
        (["Train_1", "test-1", "annotated"], "Train_1, test-1"),
        (["train", "test", "unlabeled"], "test, train"),
    ],
)
def test_a_folder_of_splits_is_not_taken_for_classes(tmp_path, folders, splits):
    for folder in folders:
        save(noise(), tmp_path / folder / "a.png")
    with pytest.raises(UserError, match=rf"holds the splits {splits}; set data\.train_path and data\.val_path"):
        load_image_folder(train_path=str(tmp_path), image_size=16)
    assert len(load_image_folder(train_path=str(tmp_path), image_size=16, labels="none").train) == len(folders)


def test_a_class_may_be_called_as_a_split(tmp_path):
    train = labeled_tree(tmp_path / "images", classes={"train": 2, "car": 2, "bus": 2})
    val = labeled_tree(tmp_path / "held_out", classes={"train": 1, "bus": 1})
    data = load_image_folder(train_path=str(train), val_path=str(val), image_size=16)
    assert (data.class_names, data.val.labels.tolist()) == (["bus", "car", "train"], [0, 2])


def test_a_folder_of_images_and_their_masks_is_not_taken_for_two_classes(tmp_path):
    labeled_tree(tmp_path, classes={"Images": 2, "masks": 2})
    with pytest.raises(UserError, match=r"images and their masks \(Images, masks\).*data=image_masks"):
        load_image_folder(train_path=str(tmp_path), image_size=8)
    assert len(load_image_folder(train_path=str(tmp_path), image_size=8, labels="none").train) == 4


def test_small_runs_take_a_balanced_subset_of_both_splits(tmp_path):
    train = labeled_tree(tmp_path / "train", classes={"a": 30, "b": 6})
    val = labeled_tree(tmp_path / "val", classes={"a": 12, "b": 3})
    data = load_image_folder(train_path=str(train), val_path=str(val), image_size=16, max_images=10)
    assert data.train.labels.bincount().tolist() == [5, 5]
    assert data.val.labels.bincount().tolist() == [7, 3]


@pytest.mark.parametrize("count", [1, 7, 16])
def test_fewer_images_are_held_out_of_those_that_all_images_hold_out(tmp_path, count):
    root = labeled_tree(tmp_path, classes={"a": 30, "b": 20, "c": 10})
    load = partial(load_image_folder, train_path=str(root), image_size=16, val_fraction=0.2)
    every, few = load(), load(max_images=count)
    assert (len(few.train), len(few.val)) == (count, min(count, 12))
    for part, whole in ((few.train, every.train), (few.val, every.val)):
        assert set(part.names) <= set(whole.names)
    assert load(max_images=count, val_fraction=0.0).val is None


def test_unreadable_files_are_skipped_with_one_warning_that_names_them(tmp_path):
    labeled_tree(tmp_path, classes={"a": 4, "b": 4})
    truncate(tmp_path / "a" / "001.png")
    (tmp_path / "b" / "bad.jpg").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="Skipped 2 unreadable of 9 images") as warned:
        data = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0, on_error="skip")
    assert len(warned) == 1
    assert all(name in str(warned[0].message) for name in ("001.png", "bad.jpg"))
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.train.stack().shape == (7, 3, 16, 16)


def test_an_unreadable_file_stops_the_run_by_default(tmp_path):
    labeled_tree(tmp_path, classes={"a": 4, "b": 4})
    truncate(tmp_path / "a" / "001.png")
    stats = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    data = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0, **stats)
    with pytest.raises(UserError, match=r"001\.png"):
        data.train.stack()


def test_a_folder_of_nothing_but_broken_files_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="None of the 1 images"):
        load_image_folder(train_path=str(tmp_path), image_size=16, on_error="skip")


@pytest.mark.parametrize(("files", "wanted", "stored"), [(32, 32, 32), (32, 28, 32), (64, 224, 256)])
def test_images_are_stored_larger_than_the_views_unless_the_files_fit(tmp_path, files, wanted, stored):
    save(noise(files, files), tmp_path / "a.png")
    data = load_image_folder(train_path=str(tmp_path), image_size=wanted)
    assert (data.train.size, data.image_size) == (stored, wanted)
    assert data.train.image(0).shape == (3, stored, stored)


def test_the_load_size_can_be_set(tmp_path):
    save(noise(50, 40), tmp_path / "a.png")
    data = load_image_folder(train_path=str(tmp_path), image_size=16, load_size=24)
    assert data.train.stack().shape == (1, 3, 24, 24)


def test_the_stack_holds_the_images_in_order(tmp_path):
    labeled_tree(tmp_path, classes={"a": 5, "b": 5}, size=20)
    train = load_image_folder(train_path=str(tmp_path), image_size=20).train
    assert torch.equal(train.stack(), torch.stack([train[i][1] for i in range(len(train))]))


@pytest.mark.filterwarnings("ignore:2 of 2 images are nearly constant")
def test_statistics_are_measured_over_the_training_images(tmp_path):
    save(Image.new("RGB", (16, 16), (255, 0, 51)), tmp_path / "a.png")
    save(Image.new("RGB", (16, 16), (0, 0, 51)), tmp_path / "b.png")
    data = load_image_folder(train_path=str(tmp_path), image_size=16)
    assert data.mean == pytest.approx((0.5, 0.0, 0.2))
    assert data.std == pytest.approx((0.5, 0.001, 0.001), abs=1e-3)
    given = load_image_folder(train_path=str(tmp_path), image_size=16, mean=[0.1, 0.2, 0.3])
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), data.std)


@pytest.mark.parametrize(
    "wrong",
    [{"labels": "yes"}, {"on_error": "ignore"}, {"image_size": 0}, {"load_size": 0},
     {"std": (1.0, 0.0, 1.0)}, {"mean": "imagenet"}, {"max_images": 0}],
)  # fmt: skip
def test_wrong_settings_are_refused(tmp_path, wrong):
    save(noise(), tmp_path / "a.png")
    with pytest.raises(Exception, match=r"Expected|violates|type"):
        load_image_folder(**({"train_path": str(tmp_path), "image_size": 16} | wrong))


@pytest.mark.parametrize(("folder", "name"), [("birds", "birds"), ("birds/train", "birds")])
def test_a_set_is_called_as_its_folder(tmp_path, folder, name):
    save(noise(), tmp_path / folder / "a.png")
    assert load_image_folder(train_path=str(tmp_path / folder), image_size=16).name == name
