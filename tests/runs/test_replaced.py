"""The run that another one replaces is lost only when there is something in its place."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from amask_solo.errors import UserError
from amask_solo.files import WriteError
from amask_solo.layout import CHECKPOINTS, CONFIG, LAST, METRICS, SUMMARY
from amask_solo.runs.replaced import REPLACED, forget, recover, set_aside
from amask_solo.runs.run_folder import WRITTEN, claim, release

CFG = OmegaConf.create({"overwrite": True, "resume": False, "seed": 1})
LAST_FILE = f"{CHECKPOINTS}/{LAST}"
NAMES = (CONFIG, METRICS, SUMMARY, LAST_FILE, "masks/epoch_0001.png", "wandb/run_id")


def write(folder, *names, content="old"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished run."""
    write(tmp_path, *NAMES)
    write(tmp_path, "notes.txt", content="kept")
    return tmp_path


OLD = dict.fromkeys(NAMES, "old") | {"notes.txt": "kept"}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killed_at(monkeypatch):
    """Make the process end instead of the nth file that is moved or deleted."""
    before = {name: getattr(Path, name) for name in ("replace", "unlink")}

    def kill(nth):
        left = [nth]

        def instead(name):
            def call(*given, **more):
                left[0] -= 1
                if not left[0]:
                    raise Killed
                return before[name](*given, **more)

            return call

        for name in before:
            monkeypatch.setattr(Path, name, instead(name))

    yield kill
    monkeypatch.undo()


@pytest.mark.parametrize("new", [(CONFIG,), (CONFIG, METRICS, SUMMARY, "masks/epoch_0000.png", "evaluation.json")])
def test_a_run_that_fails_in_its_first_epoch_gives_its_place_back(folder, new):
    claim(folder, CFG)
    assert files(folder)[CONFIG] != "old"
    write(folder, *new, content="new")
    release(folder)
    assert files(folder) == OLD


@pytest.mark.parametrize("done", [lambda folder: write(folder, LAST_FILE, content="new"), forget])
def test_with_a_checkpoint_or_after_an_epoch_it_does_not(folder, done):
    claim(folder, CFG)
    write(folder, METRICS, content="new")
    done(folder)
    release(folder)
    assert files(folder)[METRICS] == "new"
    assert "old" not in files(folder).values()
    assert not (folder / REPLACED).exists()


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_process_that_is_killed_while_it_moves_files_loses_none(folder, killed_at, monkeypatch, nth):
    killed_at(nth)
    with pytest.raises(Killed):
        set_aside(folder, WRITTEN)
    monkeypatch.undo()
    recover(folder, WRITTEN)
    assert files(folder) == OLD


@pytest.mark.parametrize("nth", range(1, 13))
def test_nor_does_one_that_is_killed_while_it_moves_them_back(folder, killed_at, monkeypatch, nth):
    claim(folder, CFG)
    write(folder, METRICS, SUMMARY, content="new")
    killed_at(nth)
    with pytest.raises(Killed):
        release(folder)
    monkeypatch.undo()
    recover(folder, WRITTEN)
    assert files(folder) == OLD


def test_after_a_kill_the_run_that_got_farther_is_the_one_to_be_replaced(folder):
    for new in ((), (LAST_FILE,)):
        claim(folder, CFG)
        write(folder, *new, content="new")
    claim(folder, CFG)
    release(folder)
    assert files(folder)[LAST_FILE] == "new"
    assert "old" not in files(folder).values()


def test_after_a_kill_nobody_takes_the_place_of_the_old_run_without_a_word(folder):
    claim(folder, CFG)
    with pytest.raises(UserError, match="already holds a run"):
        claim(folder, OmegaConf.merge(CFG, {"overwrite": False}))
    assert files(folder) == OLD


def test_a_link_is_moved_and_deleted_as_a_link(folder, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    (folder / CHECKPOINTS).rename(scratch / "run")
    (folder / CHECKPOINTS).symlink_to(scratch / "run")
    claim(folder, CFG)
    write(folder, f"{CHECKPOINTS}/best.ckpt", content="new")
    release(folder)
    assert (folder / CHECKPOINTS).readlink() == scratch / "run"
    assert files(folder / CHECKPOINTS) == {LAST: "old"}
    claim(folder, CFG)
    forget(folder)
    assert files(scratch) == {f"run/{LAST}": "old"}
    assert set(files(folder)) == {CONFIG, "notes.txt"}


def test_if_the_settings_cannot_be_written_the_old_run_stays(folder, monkeypatch):
    def full(*_):
        raise WriteError("no room")

    monkeypatch.setattr("amask_solo.runs.run_folder.write_whole", full)
    with pytest.raises(WriteError):
        claim(folder, CFG)
    assert files(folder) == OLD


def test_nor_is_a_file_lost_that_cannot_be_moved(folder, monkeypatch):
    before = Path.replace

    def stuck(path, target):
        if path == folder / SUMMARY:
            raise PermissionError("not yours")
        return before(path, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(WriteError, match="not yours"):
        claim(folder, CFG)
    assert files(folder) == OLD
