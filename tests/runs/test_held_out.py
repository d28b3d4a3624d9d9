"""An evaluation never scores on images that its run was trained on, whatever it changes of their settings."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from amask_solo.hosts.repairs import STATE
from amask_solo.runs.held_out import TrainedOn
from tests.data.pictures import labeled_tree
from tests.data.test_image_masks import pairs


@pytest.fixture
def folder(tmp_path):
    tree = labeled_tree(tmp_path / "set", classes={"a": 50, "b": 50})
    return {"_target_": "amask_solo.data.load_image_folder", "train_path": str(tree), "image_size": 16, "seed": 0}


def check(own: dict, given: dict, checkpoint: dict | None = None) -> None:
    """Check an evaluation with settings that differ from those of the run."""
    check_other(own, {**own, **given}, checkpoint)


def check_other(own: dict, given: dict, checkpoint: dict | None = None) -> None:
    """Check an evaluation on images that have settings of their own."""
    run, node = OmegaConf.create({"data": own}), OmegaConf.create(given)
    TrainedOn(run, checkpoint or {}).check(instantiate(node, "data"), node)


@pytest.mark.parametrize(
    "given", [{}, {"max_images": 40}, {"val_fraction": 0.05}, {"labels": "none"}, {"image_size": 8, "name": "other"}]
)
def test_what_holds_out_no_other_images_is_scored(folder, given):
    check(folder, given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": 1}, r"with data\.seed=1 instead of 0 it was trained on \d of 10 images; leave this out"),
        ({"val_fraction": 0.3}, r"data\.val_fraction=0\.3 instead of None it was trained on 20 of 30"),
        ({"tune_fraction": 0.2, "max_images": 40}, r"data\.tune_fraction=0\.2 .*, data\.max_images=40 .* 8 of 8"),
    ],
)
def test_images_that_were_trained_on_are_refused_with_the_key(folder, given, words):
    with pytest.raises(UserError, match=words):
        check(folder, given)


@pytest.mark.parametrize("spelled", [lambda path: f"{path}/", os.path.relpath, lambda path: f"{path.parent}/link"])
def test_so_they_are_however_the_folder_is_spelled(folder, tmp_path, spelled):
    (tmp_path / "link").symlink_to(folder["train_path"])
    given = {"train_path": spelled(tmp_path / "set")}
    check(folder, given)
    with pytest.raises(UserError, match=r"with data\.seed=1 instead of 0 it was trained on \d of 10"):
        check(folder, given | {"seed": 1})


def test_so_are_those_held_out_in_place_of_a_folder_that_is_left_out(folder, tmp_path):
    val = labeled_tree(tmp_path / "val", classes={"a": 4, "b": 4})
    own = {**folder, "val_path": str(val)}
    # Files of the same names in the two folders are others.
    check(own, {"seed": 1})
    check(folder, {"val_path": str(val), "seed": 1})
    with pytest.raises(UserError, match=r"data\.val_path=None instead of .*val it was trained on 10 of 10"):
        check(own, {"val_path": None})


def lists(folder: Path, **parts: range) -> dict[str, str]:
    """Write lists of the images that have these numbers in each class."""
    for name, numbers in parts.items():
        rows = [f"set/{kind}/{n:03}.png {kind}" for kind in "ab" for n in numbers]
        (folder / f"{name}.txt").write_text("\n".join(rows))
    return {name: str(folder / f"{name}.txt") for name in parts}


def test_so_are_those_that_another_kind_of_settings_finds(folder, tmp_path):
    some = lists(tmp_path, list=range(40), val_list=range(40, 50), third=range(45, 55))
    listed = {"_target_": "amask_solo.data.load_file_list", "image_size": 16, "list": some["list"]}
    own = listed | {"val_list": some["val_list"]}
    check_other(own, {**own, "max_images": 4})
    for given in (listed, folder, {**folder, "train_path": f"{tmp_path}/set/../set"}):
        with pytest.raises(UserError, match=r"was trained on \d+ of \d+ images; leave this out"):
            check_other(own, given)
    with pytest.raises(UserError, match=r"with these settings of data it was trained on \d+ of 20 images"):
        check_other(folder, own)


def test_what_is_no_more_on_this_machine_is_not_asked_for(folder, tmp_path):
    own = {**folder, "train_path": str(tmp_path / "gone")}
    check_other(own, folder)


def test_no_other_folder_with_images_that_were_trained_on_is_scored(folder, tmp_path):
    run = OmegaConf.create({"data": folder})
    other = instantiate(OmegaConf.create({**folder, "seed": 1, "name": "again"}), "data")
    with pytest.raises(UserError, match=r"trained on \d of the 10 to validate on of 'again'"):
        TrainedOn(run, {}).check_other(other)
    tree = labeled_tree(tmp_path / "others", classes={"a": 20, "b": 20})
    TrainedOn(run, {}).check_other(instantiate(OmegaConf.create({**folder, "train_path": str(tree)}), "data"))


def test_marked_images_are_known_by_their_files(tmp_path):
    paths = {part: str(labeled_tree(tmp_path / part, classes={"a": 20, "b": 20})) for part in ("train", "val")}
    own = {"_target_": "amask_solo.data.load_marked_folder", "train_path": paths["train"], "val_path": paths["val"]}
    own |= {"image_size": 16, "seed": 0}
    check(own, {"max_images": 10})
    with pytest.raises(UserError, match=r"with data\.val_path=None instead of .* it was trained on 4 of 4"):
        check(own, {"val_path": None})


def test_what_the_run_itself_has_validated_on_stays_as_it_was(tmp_path):
    labeled_tree(tmp_path, classes={"a": 4, "b": 4})
    rows = [f"{kind}/{n:03}.png,{kind},{'val' if n > 2 else 'train'}" for kind in "ab" for n in range(4)]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split", *rows, "a/000.png,a,val"]))
    own = {"_target_": "amask_solo.data.load_file_list", "list": str(tmp_path / "set.csv"), "image_size": 16}
    with pytest.warns(UserWarning, match="1 of the 3 images to validate on"):
        check(own, {})


def test_pairs_of_images_and_masks_are_known_by_name(tmp_path):
    own = {"_target_": "amask_solo.data.load_image_masks", **pairs(tmp_path, [f"{n:02}" for n in range(20)])}
    own |= {"image_size": 24, "seed": 0}
    check(own, {"max_images": 10})
    with pytest.raises(UserError, match=r"data\.seed=1 instead of 0"):
        check(own, {"seed": 1})


def test_images_without_names_are_refused_where_training_images_are_held_out():
    own = {
        "_target_": "amask_solo.data.make_two_digits",
        "num_train": 40,
        "num_val": 8,
        "tune_fraction": 0.25,
        "seed": 0,
    }
    check(own, {"tune_fraction": 0.0})
    with pytest.raises(UserError, match=r"data\.tune_fraction=0\.5 instead of 0\.25 it was trained on images"):
        check(own, {"tune_fraction": 0.5})


def test_images_that_have_changed_since_the_training_are_named(folder):
    before = instantiate(OmegaConf.create(folder), "data").fingerprint
    check(folder, {}, {STATE: {"images": {"fingerprint": before}}})
    with pytest.warns(UserWarning, match=r"have changed since it was trained: 90 -> 100 images\. If some"):
        check(folder, {}, {STATE: {"images": {"fingerprint": {**before, "images": 90}}}})
