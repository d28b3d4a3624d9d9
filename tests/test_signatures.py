"""What is read from a source is what an import would tell."""

import re
import sys
from pathlib import Path

import hydra
import pytest

from amask_solo import signatures
from amask_solo.configuration import arguments, config_folder
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.names import OPTIMIZERS, written_backbones, written_methods
from amask_solo.signatures import read_arguments, read_keys

CONFIGS = "".join(file.read_text() for file in config_folder().rglob("*.yaml"))
TARGETS = sorted(
    {*re.findall(r"_target_: *([\w.]+)", CONFIGS), *OPTIMIZERS.values()}
    | {"amask_solo.game.game.Game", "amask_solo.game.adversary.Adversary", "lightning.pytorch.Trainer"}
)


@pytest.mark.parametrize("path", TARGETS)
def test_the_source_says_what_an_import_says(path):
    read, imported = read_arguments(path), arguments(hydra.utils.get_object(path))
    assert read is not None
    assert (read.names, read.any_name) == (imported.names, imported.any_name)
    # An alias of a type is not followed, so that fewer arguments may be known to be plain.
    assert read.plain.items() <= imported.plain.items()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that must not be imported."""

    def write(text: str, name: str = "not_to_be_imported") -> str:
        (tmp_path / f"{name}.py").write_text(f"{text}\nraise SystemExit('imported')\n")
        monkeypatch.syspath_prepend(tmp_path)
        forget()
        return name

    yield write
    assert "not_to_be_imported" not in sys.modules
    forget()


def forget() -> None:
    read_arguments.cache_clear()
    signatures._parsed.cache_clear()


def test_nothing_is_imported(module):
    name = module("class Thing:\n    def __init__(self, size: int, *, share: 'float | None' = None, **more): ...")
    read = read_arguments(f"{name}.Thing")
    assert (read.names, read.any_name) == ({"size", "share"}, True)
    assert read.plain["size"] == {int}


@pytest.mark.parametrize(
    "text",
    [
        "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    size: int",
        "Thing = type('Thing', (), {})",
        "class Thing:\n    def __new__(cls, size): ...",
        "from nowhere import Thing",
        "class Thing(",
        "",
    ],
)
def test_what_cannot_be_read_is_left_to_an_import(module, text):
    assert read_arguments(f"{module(text)}.Thing") is None


def test_a_circle_of_imports_ends(module):
    assert read_arguments(f"{module('from not_to_be_imported import Thing')}.Thing") is None


def test_the_last_definition_counts_and_bases_are_followed(module):
    text = "class A:\n    def __init__(self, old): ...\nclass A:\n    def __init__(self, new): ...\nclass Thing(A): ..."
    assert read_arguments(f"{module(text)}.Thing").names == {"new"}


def test_keys_are_read_from_a_class_or_a_module(module):
    name = module("NAMES = ['a', 'b']\nclass Thing:\n    TABLE = {'c': 1, 'd': 2}")
    assert read_keys(name, "NAMES") == ("a", "b")
    assert read_keys(name, "TABLE") == ("c", "d")
    assert read_keys(name, "OTHER") is None
    assert read_keys("nowhere", "NAMES") is None


@pytest.mark.host
def test_the_source_of_the_host_has_the_methods_that_it_registers():
    host = load_host()
    assert set(written_methods()) == set(host.methods())
    assert {"resnet18", "vit_tiny"} <= set(written_backbones())
    assert Path(sys.modules["solo"].__file__).is_file()
