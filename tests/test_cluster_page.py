"""The page about clusters: its commands exist, its numbers follow from recipes and benchmark."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from amask_solo.cli.overrides import checked

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

from gpu_hours import BEGIN, END, PAGE, recipes, table


def test_every_key_of_the_page_is_known():
    shell = "".join(re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)).replace(
        "\\\n", " "
    )
    found = re.findall(r"amask-pretrain (.+)", shell)
    assert len(found) == 3
    for line in found:
        assert checked("pretrain", shlex.split(line))


def test_the_page_has_the_hours_that_follow_from_recipes_and_benchmark():
    assert PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip() == table()
    by_name = {recipe.name: recipe for recipe in recipes()}
    assert by_name["imagenet100_byol"].hours(1000) == pytest.approx(400 * 494 * 256 / 1000 * 1.071 / 3600)
    assert by_name["adios_imagenet100s_byol"].ratio == pytest.approx(4.334 * 7 / 5)
