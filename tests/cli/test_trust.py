"""A run folder from somebody else, and one of an older version, through the commands."""

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.checkpoints.networks import config_of, load_masker
from amask_solo.checkpoints.stored import read_stored
from tests.cli.command import SMALL, call, pretrain
from tests.daily import one_in
from tests.modules import write

SETTINGS = [*SMALL, "max_epochs=2"]


@pytest.fixture
def theirs(narrow, here):
    """A run folder that somebody sent, and a module that writes a file when it is imported or run."""
    folder = here / "theirs"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").symlink_to(narrow.folder / "checkpoints" / "last.ckpt")
    write(folder / "evil.py")
    return folder


def store(folder, narrow, **changes):
    cfg = OmegaConf.load(narrow.folder / "config.yaml")
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value, force_add=True, merge=False)
    OmegaConf.save(cfg, folder / "config.yaml")


EVIL = {"_target_": "theirs.evil.run"}
PLACES = {
    "data": {"data": {**EVIL, "image_size": 32}},
    "masker": {"adversary.masker": EVIL},
    "deep in the masker": {"adversary.masker.projection": EVIL},
    "optimizer": {"adversary.optimizer": {**EVIL, "_partial_": True}},
    "by another name": {"data": {"_target_": "os.system", "command": "touch theirs/ran"}},
    "through this package": {"data": {"_target_": "amask_solo.data.decode.os.system", "command": "touch theirs/ran"}},
}


SHAPES = ["data=shapes", "data.num_train=8", "data.num_val=8", "data.image_size=32"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("data", one_in(2, [[], SHAPES]))
def test_amask_evaluate_runs_nothing_that_a_run_folder_brings(theirs, narrow, place, data):
    store(theirs, narrow, **PLACES[place])
    said = call("evaluate", "ckpt=theirs", "protocol=knn", *data, cwd=theirs.parent)
    assert (said.code, said.err.count("\n")) == (2, 1), said.err
    assert "trust=[" in said.err
    assert sorted(path.name for path in theirs.iterdir()) == ["checkpoints", "config.yaml", "evil.py"]


def test_amask_evaluate_builds_what_the_user_trusts(theirs, narrow):
    text = "from amask_solo.data import make_shapes\n\n\ndef run(**kwargs):\n    return make_shapes(**kwargs)\n"
    write(theirs / "evil.py", text)
    store(theirs, narrow, **{"data._target_": "theirs.evil.run"})
    said = call("evaluate", "ckpt=theirs", "protocol=knn", "trust=[theirs.evil]", cwd=theirs.parent)
    assert (said.code, said.err) == (0, "")


def test_a_class_of_a_stored_run_is_neither_imported_nor_needed_to_evaluate_it(theirs, narrow):
    store(theirs, narrow, base_class="theirs.evil.run", logger=[EVIL], **{"trainer.callbacks": [EVIL]})
    said = call("evaluate", "ckpt=theirs", "protocol=knn", cwd=theirs.parent)
    assert (said.code, said.err) == (0, "")
    assert not list(theirs.glob("imported"))


@pytest.mark.parametrize("place", one_in(3, [*PLACES, "base_class"]))
def test_nothing_is_built_from_the_file_of_a_run_that_is_resumed(theirs, narrow, place):
    """It is compared with the command line, which alone is built; so resuming needs no trust."""
    store(theirs, narrow, **PLACES.get(place, {"base_class": "theirs.evil.run"}))
    said = pretrain(*SETTINGS, "run_folder=theirs", "resume=true", cwd=theirs.parent)
    assert (said.code, said.err.count("\n")) == (2, 1), said.err
    assert "other settings" in said.err
    assert not {"ran", "imported"} & {path.name for path in theirs.iterdir()}


# ---------------------------------------------------------------------- older run folders


@pytest.fixture
def old(narrow, tmp_path):
    """The finished run as it would have been written before the packages were moved."""
    folder = tmp_path / "old"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("last.ckpt", "best.ckpt"):
        (folder / "checkpoints" / name).write_bytes((narrow.folder / "checkpoints" / name).read_bytes())
    for name in ("metrics.csv", "summary.json"):
        (folder / name).write_bytes((narrow.folder / name).read_bytes())
    text = (narrow.folder / "config.yaml").read_text()
    old = text.replace("amask_solo.callbacks.", "amask_solo.runs.callbacks.")
    assert old.count("amask_solo.runs.callbacks.") == 1
    (folder / "config.yaml").write_text(old)
    return folder


def test_a_run_of_an_older_version_is_read_with_todays_names(old):
    assert read_stored(old / "config.yaml").logger._target_.startswith("amask_solo.callbacks.")


def test_a_run_of_an_older_version_is_evaluated_with_its_masker(old):
    checkpoint = old / "checkpoints" / "last.ckpt"
    assert isinstance(load_masker(checkpoint, config_of(checkpoint)), torch.nn.Module)


def test_a_run_of_an_older_version_is_resumed(old):
    said = pretrain(*SETTINGS, f"run_folder={old}", "resume=true", cwd=old.parent)
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    "text", one_in(3, ["x: !!python/object/apply:os.system [touch ran]", "a: [", "- 1", "", "5", "\x00"])
)
def test_a_broken_file_of_a_run_is_one_line(old, text):
    (old / "config.yaml").write_text(text)
    for said in (
        pretrain(*SETTINGS, f"run_folder={old}", "resume=true", cwd=old.parent),
        call("evaluate", f"ckpt={old}", "protocol=knn", cwd=old.parent),
    ):
        assert (said.code, said.err.count("\n")) == (2, 1), said.err
        assert "config.yaml" in said.err
    assert not (old.parent / "ran").exists()
