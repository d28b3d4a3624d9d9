"""What is read from a source is what an import would tell."""

import re
from pathlib import Path

import hydra
import pytest

from amask_solo.configuration import arguments, config_folder
from amask_solo.data import load_image_folder
from amask_solo.data.assemble import assemble
from amask_solo.data.file_images import load_files
from amask_solo.signatures import Arguments, defining_module, read_arguments, read_declared

CONFIGS = "".join(file.read_text() for file in config_folder().rglob("*.yaml"))
TARGETS = sorted(
    {*re.findall(r"_target_: *(amask_solo[\w.]+)", CONFIGS), "amask_solo.hosts.lars.LARS"}
    | {"amask_solo.game.game.Game", "amask_solo.game.adversary.Adversary"}
)
DECLARED = {
    "protocol": ("rules", "needs", "stand_in", "shared", "own_images", "words", "no_percent", "lower_is_better"),
    "data": ("FOLDERS", "OBJECTS"),
}


@pytest.mark.parametrize("path", TARGETS)
def test_the_source_says_what_an_import_says(path):
    target = hydra.utils.get_object(path)
    read, imported = read_arguments(path), arguments(target)
    if imported.any_name and not read.any_name:  # the loaders of files pass the rest on
        passed = [arguments(taker) for taker in (load_image_folder, load_files, assemble)]
        assert imported.names < read.names <= imported.names.union(*(taker.names for taker in passed))
        plain = passed[2].plain | passed[1].plain | passed[0].plain | imported.plain
        imported = Arguments(read.names, False, plain)
    if "__init__" in vars(target) or not isinstance(target, type):
        assert (read.names, read.any_name) == (imported.names, imported.any_name)
    # Who has no constructor may take anything, as far as is read; an alias of a type is not followed.
    assert read.any_name or read.names == imported.names
    assert read.plain.items() <= imported.plain.items()
    assert defining_module(path) == target.__module__


@pytest.mark.parametrize("group", DECLARED)
def test_what_is_declared_is_what_is_read(group):
    for file in (config_folder() / group).glob("*.yaml"):
        path = re.search(r"_target_: *([\w.]+)", file.read_text())[1]
        target = hydra.utils.get_object(path)
        scope = vars(hydra.utils.get_object(target.__module__)) if group == "data" else None
        for name in DECLARED[group]:
            declared = scope.get(name) if scope is not None else getattr(target, name)
            assert plainly(read_declared(path, name)) == plainly(declared), (path, name)


def plainly(value):
    """Return rules in words, which can be compared."""
    return {key: getattr(entry, "what", entry) for key, entry in value.items()} if hasattr(value, "items") else value


@pytest.mark.parametrize("path", ["torch.optim.SGD", "nowhere.Thing", "Thing", "amask_solo.nowhere.Thing", "os.path"])
def test_nothing_is_read_of_what_is_not_this_packages(path, tmp_path, monkeypatch):
    (tmp_path / "nowhere.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert (read_arguments(path), read_declared(path, "needs"), defining_module(path)) == (None, None, None)


def test_each_declaration_stands_where_its_own_room_is():
    """No list of protocols or data sets stands anywhere else."""
    root = Path(hydra.utils.get_object("amask_solo").__file__).parent
    for room in ("settings", "comparison", "runs", "cli"):
        text = "".join(file.read_text() for file in (root / room).glob("*.py"))
        assert not re.search(r"\b(MaskMatch|HostLinear|FineTune|make_shapes|load_image_masks|masks_path)\b", text), room
