import json
from dataclasses import replace

import numpy as np
import pytest

from amask_solo.comparison.records import read_record
from amask_solo.errors import UserError
from amask_solo.evaluation.results import pack
from tests.comparison.folder import EPOCHS, PROTOCOLS, STEPS, make_run, record


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, "byol", "random", 0, accuracy=60.0)


def read(run, **more):
    return read_record(run, "byol", "random", 0, **more)


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_run_is_read_with_its_scores_by_protocol(run):
    record = read(run)
    assert (record.base, record.arm, record.seed, record.folder) == ("byol", "random", 0, run)
    assert record.scores == {"linear/acc1": 60.0, "linear/acc5": 95.0, "knn/acc1": 55.0}
    assert record.summary["steps"] == STEPS


def test_the_curve_counts_epochs_done_and_ends_with_the_run(run):
    record = read(run)
    assert [epoch for epoch, _ in record.curve] == list(range(1, EPOCHS + 1))
    assert record.curve[-1] == (EPOCHS, 55.0)


def test_a_run_without_online_knn_has_no_curve(run):
    (run / "metrics.csv").write_text("step,epoch,val_acc1\n19,0,20.0\n")
    assert read(run).curve == []


def test_a_run_took_the_seconds_that_it_wrote_down(run):
    change(run / "summary.json", seconds=5.0, seconds_per_step=0.5)
    assert read(run).seconds == 5.0


def test_scores_on_other_data_keep_apart(run):
    own, _ = json.loads((run / "comparison.json").read_text())["results"]
    other = own | {"data": "stl10", "scores": {"acc1": 30.0, "acc5": None}}
    change(run / "comparison.json", results=[other, own])
    assert read(run).scores == {"linear@stl10/acc1": 30.0, "linear/acc1": 60.0, "linear/acc5": 95.0}


def test_only_results_by_the_settings_asked_for_count(run):
    assert read(run, protocols={"knn": PROTOCOLS["knn"]}).scores == {"knn/acc1": 55.0}
    with pytest.raises(UserError, match=r"comparison\.json has no result of knn by the settings"):
        read(run, protocols=PROTOCOLS | {"knn": {"k": 5}})


@pytest.mark.parametrize(
    ("name", "said"),
    [("summary.json", "There is no"), ("comparison.json", "There is no"), ("metrics.csv", "Cannot read")],
)
def test_a_missing_file_is_named(run, name, said):
    (run / name).unlink()
    with pytest.raises(UserError, match=f"{said} .*{run.name}/{name}"):
        read(run)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("summary.json", "{", "Delete it and make the run again"),
        ("summary.json", "[1]", "no object of JSON"),
        ("summary.json", "{}", "lacks status"),
        ("summary.json", '{"status": "finished", "data": "x", "steps": 3}', "lacks seconds, seconds_per_step"),
        ("comparison.json", "{}", "lacks results"),
        ("comparison.json", '{"results": [{"protocol": "knn"}]}', "not what amask-evaluate writes"),
        ("comparison.json", '{"results": {"knn": 3}}', "not what amask-evaluate writes"),
        ("metrics.csv", "step,val_knn_acc1\n0,20.0\n", "no table of a run's metrics"),
        ("metrics.csv", "step,epoch,val_knn_acc1\n3,0,high\n", "no table of a run's metrics"),
    ],
)
def test_a_broken_file_is_named(run, name, text, said):
    (run / name).write_text(text)
    with pytest.raises(UserError, match=f"{name}.*{said}"):
        read(run)


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_did_not_finish_is_refused(run, status):
    change(run / "summary.json", status=status)
    with pytest.raises(UserError, match=rf"summary\.json: the run is {status}"):
        read(run)


def test_scores_of_an_earlier_epoch_are_refused(run):
    change(run / "comparison.json", epochs=EPOCHS)
    assert read(run).scores["knn/acc1"] == 55.0
    change(run / "comparison.json", epochs=4)
    with pytest.raises(UserError, match=rf"comparison\.json has scores after 4 epochs, but the run did {EPOCHS}"):
        read(run)
    summary = json.loads((run / "summary.json").read_text())
    for epochs, done in ((None, EPOCHS), (4, None)):
        change(run / "comparison.json", epochs=epochs)
        (run / "summary.json").write_text(json.dumps(summary | {"epochs_done": done}))
        assert read(run).scores["knn/acc1"] == 55.0


def test_scores_by_area_are_a_curve_from_nothing_hidden():
    scores = {"robustness/acc1": 50.0, "robustness/acc1_area0.5": 20.0, "robustness/acc1_area0.1": 45.0}
    scores |= {"robustness/acc1_curve": 40.0, "curve/acc1": 51.0, "curve/acc1_worst_area0.25": 5.0}
    scores |= {"greedy/acc1": 50.0, "greedy/acc1_greedy_area0.1": 9.0}
    made = replace(record("byol", "stock", 0, 50.0), scores=scores)
    assert made.by_area("acc1") == {"robustness": [(0, 50), (10, 45), (50, 20)]}
    assert made.by_area("acc1_worst") == {"curve": [(0, 51), (25, 5)]}
    assert made.by_area("acc1_greedy") == {"greedy": [(0, 50), (10, 9)]}
    assert made.by_area("acc1_search") == {}


def test_the_worst_case_at_the_area_of_the_attack_is_on_its_curve_and_no_two_protocols_are_on_one():
    def curve(protocol, clean):
        areas = {f"{protocol}/acc1_worst_area0.1": clean - 30, f"{protocol}/acc1_worst_area0.4": clean - 49}
        return {f"{protocol}/acc1": clean, **areas}

    single = {"attack/acc1": 50.0, "attack/area": 0.25, "attack/acc1_worst": 7.0}
    scores = curve("attack_curve", 50.0) | curve("attack_curve@stl10", 60.0) | single
    made = replace(record("byol", "stock", 0, 50.0), scores=scores)
    assert made.by_area("acc1_worst") == {
        "attack_curve": [(0, 50), (10, 20), (25, 7), (40, 1)],
        "attack_curve@stl10": [(0, 60), (10, 30), (40, 11)],
    }


def test_which_images_were_right_and_what_they_were_is_read_with_the_scores(run):
    assert read(run).right == {}
    kept = json.loads((run / "comparison.json").read_text())
    kept["results"][0] |= {
        "correct": {"acc1": pack(np.array([True, False, True]))},
        "images": {"val_path": "birds/test"},
    }
    (run / "comparison.json").write_text(json.dumps(kept))
    found = read(run)
    assert found.right["linear/acc1"].tolist() == [True, False, True]
    assert found.images == {"val_path": "birds/test"}


@pytest.mark.parametrize("bits", ["?", "", "AAAA"])
def test_broken_bits_are_named_with_their_file(run, bits):
    kept = json.loads((run / "comparison.json").read_text())
    kept["results"][0]["correct"] = {"acc1": {"images": 3, "bits": bits}}
    (run / "comparison.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match="is not what amask-evaluate writes"):
        read(run)
