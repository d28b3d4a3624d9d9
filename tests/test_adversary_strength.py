"""The script that measures adversaries: which runs it takes for made."""

import importlib.util
import json
from argparse import Namespace
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "adversary_strength.py"
spec = importlib.util.spec_from_file_location("adversary_strength", SCRIPT)
strength = importlib.util.module_from_spec(spec)
spec.loader.exec_module(strength)


def asked(folder, *more, data="data/cifar10", trainer="cpu"):
    return Namespace(out=folder, more=[*more], data=Path(data), trainer=trainer)


def test_a_file_of_a_run_with_other_settings_is_not_taken_for_the_one_asked_for(tmp_path):
    short = asked(tmp_path, "max_epochs=3")
    assert not strength.is_there("random", "simclr", 0, short)
    file = tmp_path / "simclr_random_seed0.json"
    file.write_text(json.dumps(strength.conditions("random", short)))
    assert strength.is_there("random", "simclr", 0, short)
    others = [asked(tmp_path)]
    others += [asked(tmp_path, *short.more, **change) for change in ({"data": "data/stl10"}, {"trainer": "gpu"})]
    for other in others:
        with pytest.raises(SystemExit, match="give another --out"):
            strength.is_there("random", "simclr", 0, other)


def test_a_file_of_an_earlier_version_counts_by_its_changes(tmp_path):
    (tmp_path / "simclr_random_seed0.json").write_text(json.dumps({"changes": "masker=random_block"}))
    assert strength.is_there("random", "simclr", 0, asked(tmp_path, trainer="gpu"))


def test_a_file_names_its_images_but_not_where_they_lie(tmp_path):
    made = strength.conditions("random", asked(tmp_path, data="/home/somebody/data/cifar10"))
    assert made["data"] == "data/cifar10"


def test_runs_of_other_lengths_are_told_apart(capsys):
    kept = SCRIPT.parents[1] / "results" / "adversary"
    strength.show([kept / f"simclr_single_alive{length}_seed0.json" for length in ("", "_10epochs")])
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "simclr" in line]
    assert [row[4].strip() for row in rows] == ["16", "10"]


def test_the_files_of_the_results_are_of_the_settings_by_their_names():
    for file in (SCRIPT.parents[1] / "results" / "adversary").rglob("*.json"):
        record = json.loads(file.read_text())
        assert record["changes"].startswith(strength.SETTINGS[record["setting"]])


def test_a_table_is_of_what_the_command_names():
    record = {"setting": "random", "base": "simclr", "seed": 0}
    named = Namespace(only=["random"], bases=None, seeds=[0, 1])
    assert strength.is_asked_for(record, named)
    assert not strength.is_asked_for(record | {"seed": 2}, named)
    assert not strength.is_asked_for(record | {"setting": "adios"}, named)
