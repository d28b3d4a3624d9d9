"""The pages on configuration have every key of configs/ and of the constructors, and are as their sources are."""

import ast
import re
import textwrap
from collections.abc import Iterator

import pytest
import yaml

from amask_solo.configuration import ADVERSARY, GAME, HOST_SIDE
from amask_solo.settings import evaluation, pretraining
from amask_solo.signatures import read_arguments, read_declared
from tests.docs.pages import ROOT

pytest.importorskip("griffe")
from docs._site import keys, sources

CONFIGS = ROOT / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")
TEXT = {page: page.read_text() for page in keys.PAGES}
CELLS = {key for text in TEXT.values() for key in re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)}
NAMES = {key.rpartition(".")[2] for key in CELLS}


@pytest.mark.parametrize("page", keys.PAGES, ids=lambda page: page.stem)
def test_a_page_is_as_the_sources_are(page):
    assert keys.fill(TEXT[page]) == TEXT[page], "Run `python -m docs._site.keys`, and look at what has changed."


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_of_a_group_is_named(group):
    names = {path.stem for path in (CONFIGS / group).glob("*.yaml") if not path.stem.startswith("amask_")}
    assert names <= CELLS


def nodes(node) -> Iterator[dict]:
    """Yield all nodes of a configuration file."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def targets() -> set[str]:
    files = (yaml.safe_load(path.read_text()) for path in CONFIGS.rglob("*.yaml"))
    return {node["_target_"] for file in files for node in nodes(file) if "_target_" in node} | {GAME, ADVERSARY}


@pytest.mark.parametrize("target", sorted(targets()))
def test_every_argument_of_a_constructor_has_a_row(target):
    assert read_arguments(target).names - set(sources.FILLED_IN) - {"name"} <= NAMES


def leaves(node: dict, above: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values of a configuration file."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


@pytest.mark.parametrize("name", ["pretrain", "evaluate", "compare", "export"])
def test_every_key_of_a_primary_configuration_has_a_row(name):
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    keys_of = {key: value for key, value in content.items() if key not in ("defaults", "hydra", "definitions")}
    assert set(leaves(keys_of)) - {"method_kwargs"} <= CELLS


def test_every_rule_and_what_a_masked_method_adds_has_a_row():
    plain = {key for key in pretraining.RULES | evaluation.EVALUATION | evaluation.EXPORT if "*" not in key}
    assert plain | set(HOST_SIDE) <= CELLS


def refused_numbers(target: str) -> Iterator[str]:
    """Yield the numbers that a constructor or function of this package compares before it raises an error."""
    definition = sources._definition(target)
    tree = ast.parse(textwrap.dedent(definition.source))
    for line in ast.walk(tree):
        if isinstance(line, ast.If) and isinstance(line.body[0], ast.Raise):
            for test in ast.walk(line.test):
                sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else []
                if any(isinstance(side, ast.Constant) and isinstance(side.value, int | float) for side in sides):
                    yield from (side.id for side in sides if isinstance(side, ast.Name))


@pytest.mark.parametrize("target", sorted(target for target in targets() if target.startswith("amask_solo.")))
def test_a_number_that_can_be_refused_has_its_range(target):
    rules = read_declared(target, "rules") or {}
    for name, argument in sources.arguments_of(target).items():
        if name in set(refused_numbers(target)) - set(rules):
            assert re.search(r"at least|above|multiple|[(\[]-?[01], ?[\d.]+[)\]]|from \d", argument.meaning), argument


@pytest.mark.parametrize("key", ["val_path", "val_fraction", "on_error", "max_images", "labels"])
def test_the_keys_of_folders_have_rows(key):
    assert key in CELLS


def test_a_key_has_one_row_in_a_table():
    for text in TEXT.values():
        for table in text.split("<!-- end -->"):
            found = re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)
            assert len(found) == len(set(found))


def test_no_row_is_without_a_meaning():
    for page, text in TEXT.items():
        assert not re.search(r"^\|.*\|  \|$", text, re.MULTILINE), page
