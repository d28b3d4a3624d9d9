"""The page about clusters: its commands exist, its numbers follow from recipes and benchmark."""

import json
import sys
from pathlib import Path

import pytest

from amask_solo.cli.overrides import checked
from tests.docs.pages import blocks

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from gpu_hours import BEGIN, END, PAGE, ROOT, recipes, table


def test_every_key_of_the_page_is_known():
    lines = [line for block in blocks(PAGE) for line in block.commands]
    found = [line[line.index("amask-pretrain") + 1 :] for line in lines if "amask-pretrain" in line]
    assert len(found) == 3
    for words in found:
        assert checked("pretrain", words)


@pytest.mark.nightly
def test_the_page_has_the_hours_that_follow_from_recipes_and_benchmark():
    assert PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip() == table()
    by_name = {recipe.name: recipe for recipe in recipes()}
    assert by_name["imagenet100_byol"].hours(1000) == pytest.approx(400 * 494 * 256 / 1000 * 1.067 / 3600)
    assert by_name["adios_imagenet100s_byol"].ratio == pytest.approx(4.347 * 7 / 5)


def test_each_further_pair_of_views_is_encoded_and_paid_for():
    steps = json.loads((ROOT / "benchmarks" / "cpu.json").read_text())["step"]["rows"]
    measured = {row["arm"]: row["ratio"] for row in steps if row["method"] == "simsiam"}
    by_name = {recipe.name: recipe for recipe in recipes()}
    one, all_of_four = (measured[f"{shown}, simultaneous, alternating"] for shown in ("one", "N=4"))
    # As tests/masked/test_pairs.py counts them: two clean views, and 1 + 1 + 2 masked ones for each mask.
    assert by_name["adios_imagenet100_simsiam"].ratio == pytest.approx(one * 6 / 2)
    assert by_name["adios_imagenet100s_simsiam"].ratio == pytest.approx(all_of_four * 18 / 5)
