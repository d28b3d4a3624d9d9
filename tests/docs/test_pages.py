"""README and pages keep their word: commands exist, links lead somewhere."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from amask_solo.cli.comparison import make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.overrides import checked, searched
from tests.docs.pages import PAGES, ROOT, blocks, commands

README = (ROOT / "README.md").read_text()
LINKS = {(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())}
LOCAL = sorted((page, link) for page, link in LINKS if not link.startswith("https://"))


def headings(text: str) -> set[str]:
    """Return the anchors of a page."""
    return {
        re.sub(r"[^\w -]", "", found).lower().replace(" ", "-")
        for found in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_a_runnable_example_stands_in_the_first_forty_lines():
    beginning = "\n".join(README.splitlines()[:40])
    assert "```math" in beginning
    assert "![" in beginning
    assert "make pretrain" in beginning
    assert "make test" in beginning
    assert "\namask-pretrain method=amask_byol data=image_folder data.train_path=DIR" in beginning


WIDEST = 110
"""The characters of code that fit on a page of the site and of GitHub."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_fits_on_the_page(page):
    lines = [
        line for block in blocks(page) if block.language not in ("math", "mermaid") for line in block.text.splitlines()
    ]
    assert max(map(len, lines), default=0) <= WIDEST


@pytest.mark.nightly
def test_no_two_runs_of_the_readme_share_a_folder(folder):
    runs = [line for block in blocks(PAGES[0]) for line in block.commands if line[0] == "amask-pretrain"]
    again = ("resume=", "overwrite=")
    first = [line for line in runs if "-m" not in line and not any(word.startswith(again) for word in line)]
    made = [composed("pretrain", checked("pretrain", line[1:]), with_hydra=True) for line in first]
    names = [(cfg.name, cfg.hydra.runtime.choices.data, cfg.seed) for cfg in made]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("arguments", commands("amask-pretrain"), ids=" ".join)
def test_every_key_of_a_pretraining_command_is_known(arguments, folder):
    if "--help" not in arguments:
        assert checked("pretrain", arguments)


@pytest.mark.parametrize("arguments", commands("amask-evaluate"), ids=" ".join)
def test_every_key_of_an_evaluation_command_is_known(arguments):
    assert checked("evaluate", arguments)


@pytest.mark.parametrize("arguments", commands("amask-compare"), ids=" ".join)
def test_every_key_of_a_comparison_is_known_and_makes_runs(arguments, folder):
    cfg = composed("compare", sort_arguments(searched(arguments)))
    assert make_runs(cfg)


@pytest.mark.parametrize("arguments", commands("amask-export"), ids=" ".join)
def test_every_key_of_an_export_command_is_known(arguments):
    assert checked("export", arguments)


def test_commands_were_found():
    assert len(commands("amask-pretrain")) > 10
    assert commands("amask-export")


@pytest.mark.parametrize(("page", "link"), LOCAL, ids=[f"{page.stem}: {link}" for page, link in LOCAL])
def test_links_lead_to_a_file_or_a_heading(page, link):
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists()
    if anchor:
        assert anchor in headings(target.read_text())


REFERENCE = set(re.findall(r"^::: (\S+)", "".join(map(Path.read_text, (ROOT / "docs" / "api").glob("*.md"))), re.M))
EXCHANGEABLE = ["constraints", "data", "evaluation", "fills", "hard_views", "localisers", "maskers", "projections"]


@pytest.mark.parametrize("package", EXCHANGEABLE)
def test_the_reference_has_all_that_a_package_of_parts_exports(package):
    names = import_module(f"amask_solo.{package}").__all__
    assert not {f"amask_solo.{package}.{name}" for name in names} - REFERENCE


def test_the_citation_is_of_this_version_and_names_the_host():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["title"], cited["version"], cited["license"]) == (project["name"], project["version"], "MIT")
    assert cited["references"][0]["title"].startswith("solo-learn")


def test_the_hooks_of_a_commit_are_the_lint_and_the_type_check_of_the_gate():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    gate = (ROOT / "Makefile").read_text()
    assert [hook["id"] for hook in local["hooks"]] == ["ruff-check", "ruff-format", "mypy"]
    for hook in local["hooks"]:
        assert hook["entry"].startswith(".venv/bin/")
        assert hook["entry"].removesuffix(" --force-exclude").replace(".venv/bin", "$(BIN)") in gate
