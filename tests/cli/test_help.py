"""``--help`` says what a command does, and names all that can be chosen."""

import pytest

from amask_solo.configuration import config_folder
from tests.cli.command import call
from tests.daily import one_in


def test_all_groups_and_choices_are_listed_and_the_present_ones_marked(tmp_path):
    said = call("pretrain", "method=amask_simsiam", "data=cifar10", "--help", cwd=tmp_path)
    words = said.out.replace(",", " ").split()
    for file in config_folder().glob("*/*.yaml"):
        if file.parent.name not in ("hydra", "protocol"):
            assert file.parent.name in words
            assert {file.stem, f"{file.stem}*", file.stem.removeprefix("amask_"), f"amask_{file.stem}*"} & set(words)
    assert {"amask_simsiam*", "cifar10*", "sequential*"} <= set(words)
    assert not {"amask_byol*", "shapes*"} & set(words)
    assert (said.code, said.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_protocols_are_listed_where_they_are_chosen(tmp_path):
    said = call("evaluate", "protocol=[clustering,knn]", "--help", cwd=tmp_path).out
    groups = said.partition("Groups")[2].partition("Keys")[0]
    words = groups.partition("  data ")[0].replace(",", " ").split()
    assert {"protocol", "clustering*", "knn*", "linear"} < set(words)
    assert {file.stem for file in (config_folder() / "protocol").glob("*.yaml")} <= {word.rstrip("*") for word in words}
    assert "  method " not in groups


OTHERS = [("pretrain", "export"), ("export", "pretrain"), ("evaluate", "pretrain")]


@pytest.mark.parametrize(("name", "other"), one_in(3, OTHERS))
def test_a_page_has_two_examples_and_the_other_command(name, other, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = call(name, "--help", cwd=tmp_path)
    examples = said.out.partition("Examples")[2].splitlines()
    assert len([line for line in examples if line.strip().startswith(f"amask-{name} ")]) == 2
    assert f"amask-{other} --help" in said.out
    assert len(said.out.splitlines()) <= 60
    assert all(len(line) <= 120 for line in said.out.splitlines())
