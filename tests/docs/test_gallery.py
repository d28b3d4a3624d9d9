"""The gallery has a small picture of every masker, fill and hard view that can be chosen."""

import json
import sys

import pytest

from tests.docs.pages import ROOT

sys.path.append(str(ROOT / "scripts"))

import gallery

FOLDER = ROOT / "results" / "gallery"
LARGEST = 60_000
WITHOUT = {"none"}
"""Choices that show nothing."""


@pytest.mark.parametrize("group", ["masker", "fill", "hard_views"])
def test_every_choice_has_a_picture_on_the_page(group):
    page = (ROOT / "docs" / "gallery.md").read_text()
    names = {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")} - WITHOUT
    assert all(f"(../results/gallery/{group}_{name}.png)" in page for name in names)


def test_pictures_are_small_and_those_of_one_run_whose_machine_is_named():
    report = json.loads((FOLDER / "gallery.json").read_text())
    assert {path.stem: path.stat().st_size for path in FOLDER.glob("*.png")} == report["pictures"]
    assert max(report["pictures"].values()) < LARGEST
    assert report["environment"]["device"]
    assert report["environment"]["versions"]["torch"]


@pytest.mark.nightly
def test_the_script_draws_all_pictures_that_are_stored(monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "OUT", tmp_path)
    monkeypatch.setattr(gallery, "STEPS", {"encoder": 1, "masker": 1})
    gallery.main()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in FOLDER.iterdir()}
