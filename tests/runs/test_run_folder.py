"""What may differ when a run is resumed, and what may not; no run takes a folder with files that are not its own."""

import pytest
from omegaconf import OmegaConf

from amask_solo.configuration import ADVERSARY, GAME, target_defaults
from amask_solo.errors import UserError
from amask_solo.layout import CHECKPOINTS, CONFIG, LAST
from amask_solo.runs.run_folder import AFTERWARDS, LEFT_OUT, WRITTEN, check_same_run, claim, find, release
from amask_solo.settings.pretraining import OBSERVERS

RUN = {"method": "byol", "max_epochs": 3, **dict.fromkeys(OBSERVERS, 1), "save_every": 1, "data": {"image_size": 32}}


@pytest.fixture
def folder(tmp_path):
    OmegaConf.save(OmegaConf.create(RUN), tmp_path / "config.yaml")
    return tmp_path


@pytest.mark.parametrize("key", [*OBSERVERS, "save_every"])
def test_what_only_watches_a_run_may_change(folder, key):
    check_same_run(folder, OmegaConf.create(RUN | {key: 0}))


def test_what_changes_the_run_may_not(folder):
    with pytest.raises(UserError, match="max_epochs: 3 -> 4"):
        check_same_run(folder, OmegaConf.create(RUN | {"max_epochs": 4}))


@pytest.mark.parametrize("key", ["gradient_clip_val", "max_steps", "sync_batchnorm"])
@pytest.mark.parametrize("before", [None, 9])
def test_nor_may_how_gradients_are_clipped_or_when_training_ends(tmp_path, key, before):
    OmegaConf.save(OmegaConf.create(RUN | {"trainer": {key: before} if before else {}}), tmp_path / "config.yaml")
    with pytest.raises(UserError, match=rf"trainer\.{key}: {before} -> 5"):
        check_same_run(tmp_path, OmegaConf.create(RUN | {"trainer": {key: 5}}))


def test_another_precision_is_said(tmp_path):
    OmegaConf.save(OmegaConf.create(RUN | {"trainer": {"precision": "bf16-mixed"}}), tmp_path / "config.yaml")
    with pytest.warns(UserWarning, match=r"trainer\.precision=32-true instead of bf16-mixed"):
        check_same_run(tmp_path, OmegaConf.create(RUN | {"trainer": {"precision": "32-true", "devices": 2}}))


def test_a_key_that_an_older_run_left_out_counts_as_what_the_classes_take():
    share, make = target_defaults(GAME)["share"], target_defaults(ADVERSARY)["optimizer"]
    assert {"adversary.share": share, "adversary.optimizer.lr": make.keywords["lr"]} == LEFT_OUT


# ---------------------------------------------------------------------- whose files are in a folder


def asked(folder, **settings):
    return OmegaConf.create(RUN | {"run_folder": str(folder), "resume": False, "overwrite": False} | settings)


def put(path):
    """Put a file of somebody at a path, in a folder of this name unless the name is that of a file."""
    file = path if path.suffix else path / "mine.bin"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine")
    return file


@pytest.mark.parametrize("settings", [{}, {"overwrite": True}, {"resume": "auto"}], ids=str)
@pytest.mark.parametrize("name", [name for name in WRITTEN if name != CONFIG])
def test_files_that_are_of_no_run_are_not_replaced(tmp_path, name, settings):
    file, cfg = put(tmp_path / name), asked(tmp_path, **settings)
    for refuse in (lambda: find(cfg), lambda: claim(tmp_path, cfg)):
        with pytest.raises(UserError, match=f"no {CONFIG}, but it has {name}, .*run_folder="):
            refuse()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_bytes() == b"mine"


def test_nor_is_a_run_without_a_word(folder):
    before = (folder / CONFIG).read_bytes()
    with pytest.raises(UserError, match="already holds a run"):
        find(asked(folder))
    assert (folder / CONFIG).read_bytes() == before


@pytest.mark.parametrize("name", sorted(AFTERWARDS))
def test_a_finished_run_whose_checkpoints_were_deleted_is_not_started_anew(folder, name):
    file, cfg = put(folder / name), asked(folder, resume="auto")
    for refuse in (lambda: find(cfg), lambda: claim(folder, cfg)):
        with pytest.raises(UserError, match="no checkpoint to resume from"):
            refuse()
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_run_whose_settings_are_lost_is_not_resumed_and_nobody_is_told_to_start_it_anew(
    tmp_path, monkeypatch, resume
):
    monkeypatch.setattr("amask_solo.runs.run_folder.last_whole", lambda *_: put(tmp_path / CHECKPOINTS / LAST))
    with pytest.raises(UserError, match=f"{CONFIG} does not exist, .*Put it back.*init=") as refused:
        find(asked(tmp_path, resume=resume))
    assert "leave out" not in str(refused.value)


def test_empty_folders_are_no_reason_to_refuse(tmp_path):
    for name in (CHECKPOINTS, "wandb"):
        (tmp_path / name).mkdir()
    assert find(asked(tmp_path)) == (tmp_path, None)
    claim(tmp_path, asked(tmp_path))


def test_a_run_that_trained_nothing_leaves_nothing_of_its_own(tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    claim(tmp_path, asked(tmp_path))
    for name in ("masks", "wandb", "summary.json"):
        put(tmp_path / name)
    release(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert find(asked(tmp_path)) == (tmp_path, None)
