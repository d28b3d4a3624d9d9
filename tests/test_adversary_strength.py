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


def test_a_file_of_a_run_with_other_settings_is_not_taken_for_the_one_asked_for(tmp_path):
    asked = Namespace(out=tmp_path, more=["max_epochs=3"])
    assert not strength.is_there("random", "simclr", 0, asked)
    file = tmp_path / "simclr_random_seed0.json"
    file.write_text(json.dumps({"changes": "masker=random_block max_epochs=3"}))
    assert strength.is_there("random", "simclr", 0, asked)
    with pytest.raises(SystemExit, match="give another --out"):
        strength.is_there("random", "simclr", 0, Namespace(out=tmp_path, more=[]))


def test_the_files_of_the_results_are_of_the_settings_by_their_names():
    for file in (SCRIPT.parents[1] / "results" / "adversary").rglob("*.json"):
        record = json.loads(file.read_text())
        assert record["changes"].startswith(strength.SETTINGS[record["setting"]])
