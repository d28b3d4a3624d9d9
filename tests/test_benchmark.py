"""The benchmark: what it measures is real steps in turn, and the page of costs shows what was measured."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "scripts"))

from benchmarking.interleaved import Run, SameBatch  # noqa: E402
from benchmarking.models import REFERENCE, Setting  # noqa: E402
from benchmarking.models import build as build_measured  # noqa: E402
from benchmarking.page import BEGIN, END, cost_tables, update_page  # noqa: E402
from benchmarking.report import write  # noqa: E402

from amask_solo.hosts.installed import load_host  # noqa: E402
from tests.players import OneConvolution, batch_of, build, masker_node  # noqa: E402
from tests.tiny import thin_networks, tiny_loaders  # noqa: E402

CPU = {"accelerator": "cpu"}


def test_the_page_shows_what_was_measured():
    text = (ROOT / "docs" / "costs.md").read_text()
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == cost_tables(ROOT / "benchmarks").strip()
    assert "| --- |" in shown


def test_a_page_without_a_place_for_the_tables_is_left_alone(tmp_path):
    page = tmp_path / "costs.md"
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="costs"):
        update_page(page, ROOT / "benchmarks")
    assert page.read_text() == "# Title\n"


@pytest.mark.host
def test_runs_take_turns_of_as_many_steps_as_they_are_told():
    models = [build("simclr"), build("simclr", masker_node(OneConvolution))]
    runs = [Run(model, {"train_dataloaders": SameBatch(batch_of())}, **CPU) for model in models]
    runs[0].turn(2)
    runs[1].turn(1)
    runs[0].turn(1)
    assert [model.trainer.global_step for model in models] == [3, 1]
    for run in runs:
        run.stop()


@pytest.mark.host
def test_the_reference_encodes_every_view_anew_for_both_players():
    setting = Setting(torch.device("cpu"), "resnet18", size=32, batch=4, seed=0)
    with thin_networks():
        model = build_measured(setting, "amask_simclr", REFERENCE, as_reference=True)
    seen = []
    getattr(model, load_host().backbone).register_forward_hook(lambda *_: seen.append(None))
    run = Run(model, {"train_dataloaders": SameBatch(setting.views())}, **CPU)
    run.turn(1)
    run.stop()
    assert len(seen) == 2 * 4 * 2  # players, masks, views


@pytest.mark.host
def test_a_turn_may_be_an_epoch():
    model = build("simclr")
    run = Run(model, {"train_dataloaders": tiny_loaders(2)[0]}, unit="epoch", **CPU)
    run.turn(1)
    assert model.trainer.global_step == 2
    run.turn(2)
    assert model.trainer.global_step == 6
    run.stop()


@pytest.mark.host
def test_what_breaks_a_run_is_raised():
    with pytest.raises(TypeError):
        Run(build("simclr"), {"no_such_argument": 1}, **CPU)


def test_a_part_that_is_measured_again_replaces_the_old_one_alone(tmp_path):
    path = tmp_path / "cpu.json"
    write(path, "step", [{"ratio": 1.0}], {})
    write(path, "views", [{"ratio": 2.0}], {})
    write(path, "step", [{"ratio": 3.0}], {})
    assert {part: found["rows"][0]["ratio"] for part, found in json.loads(path.read_text()).items()} == {
        "step": 3.0,
        "views": 2.0,
    }
