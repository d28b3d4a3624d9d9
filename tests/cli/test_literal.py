"""Paths and names are taken as they were typed, whatever the grammar of the command line says of their letters."""

import os

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from amask_solo.cli.composed import composed
from amask_solo.cli.literal import LITERAL, fnmatchcase, literal
from amask_solo.cli.overrides import checked
from amask_solo.configuration import arguments, config_folder
from amask_solo.errors import UserError
from amask_solo.files import write_whole
from amask_solo.rules import PATH
from tests.daily import one_in

NAMES = ["día", "photos (1)", "IMG[1]", "Bob's", "a#b", "a=b", "/d/a,b", "2024", "true", "[x]", "{a:1}", "a:b", "x\\"]
NAMES += ["caf\udce9", 'say "hi"', "$HOME", "*", " a ", "1e5"]
COMMANDS = {
    "pretrain": (["data=image_folder"], ("data.train_path", "data.val_path", "run_folder", "name")),
    "evaluate": (["data=image_folder"], ("data.train_path", "ckpt", "output")),
    "export": ([], ("ckpt", "path")),
    "compare": ([], ("folder",)),
}


@pytest.mark.parametrize("command", one_in(4, COMMANDS))
def test_any_name_arrives_as_it_was_typed(command):
    chosen, keys = COMMANDS[command]
    for first in range(0, len(NAMES), len(keys)):
        names = dict(zip(keys, NAMES[first:], strict=False))
        made = composed(command, checked(command, [*chosen, *(f"{key}={name}" for key, name in names.items())]))
        assert {key: OmegaConf.select(made, key) for key in names} == names


def test_what_was_checked_once_may_be_checked_again():
    _, keys = COMMANDS["pretrain"]
    for first in range(0, len(NAMES), 2):
        once = checked("pretrain", [f"{key}={name}" for key, name in zip(keys[2:], NAMES[first:], strict=False)])
        assert checked("pretrain", once) == once


def test_null_quotes_and_references_keep_their_meaning():
    made = composed(
        "pretrain", checked("pretrain", ["data=image_folder", "data.train_path='a b'", "data.val_path=null"])
    )
    assert (made.data.train_path, made.data.val_path) == ("a b", None)
    assert composed("pretrain", checked("pretrain", ["name=x", "run_folder=r/${name}"])).run_folder == "r/x"


def test_with_several_runs_commas_separate_names():
    argv = ["-m", "ckpt=IMG[1],photos (1)"]
    assert checked("evaluate", argv) == ["++ckpt='IMG[1]','photos (1)'", "-m"]
    assert literal("ckpt=glob(a*)", several=True) == "ckpt=glob(a*)"
    with pytest.raises(UserError, match="Several values for seed"):
        checked("evaluate", ["seed=1,2"])


def test_every_key_of_data_and_loggers_that_takes_any_text_is_among_them():
    for group in ("data", "logger"):
        for file in (config_folder() / group).glob("*.yaml"):
            takes = arguments(get_object(OmegaConf.load(file)._target_))
            texts = {name for name, kinds in takes.plain.items() if str in kinds and not kinds & {int, float, bool}}
            choices = {"labels", "on_error", "save_dir", "kind", "train", "val"} | (
                {"name"} if group == "logger" else set()
            )
            for key in texts - choices:
                assert any(fnmatchcase(f"{group}.{key}", pattern) for pattern in LITERAL), f"{group}.{key}"


def test_a_name_that_is_no_text_is_a_path_and_is_written_as_an_escape(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    assert PATH.holds(f"a/{name}")
    write_whole(tmp_path / name / "page.html", f"<p>{name}")
    assert (tmp_path / name / "page.html").read_text() == r"<p>caf\udce9"
