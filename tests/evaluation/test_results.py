"""evaluation.json is added to, and never mixes two states of a checkpoint."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from amask_solo.errors import UserError
from amask_solo.evaluation.results import add_result, beside, merged, pack, read_results, unpack

FACTS = {"checkpoint": "last.ckpt", "state": "a", "epochs": 2}


def result(protocol="knn", data="birds", acc1=50.0, **more):
    return {"protocol": protocol, "data": data, "scores": {"acc1": acc1}, **more}


def scores(path):
    return [(r["protocol"], r["data"], r["scores"]["acc1"]) for r in read_results(path)["results"]]


def test_results_gather_in_the_order_in_which_they_came(tmp_path):
    path = tmp_path / "new" / "evaluation.json"
    add_result(path, FACTS, result())
    add_result(path, FACTS, result("linear", acc1=60.0))
    add_result(path, FACTS, result(data="cars", acc1=70.0))
    assert scores(path) == [("knn", "birds", 50.0), ("linear", "birds", 60.0), ("knn", "cars", 70.0)]
    assert {key: value for key, value in read_results(path).items() if key != "results"} == FACTS


def test_the_same_protocol_on_the_same_images_is_replaced(tmp_path):
    path = tmp_path / "evaluation.json"
    add_result(path, FACTS, result(settings={"k": 5}))
    add_result(path, FACTS, result("linear"))
    add_result(path, FACTS, result(settings={"k": 20}, acc1=51.0))
    assert scores(path) == [("linear", "birds", 50.0), ("knn", "birds", 51.0)]


def test_sets_of_the_same_name_but_other_images_are_kept_apart():
    record = merged({}, FACTS, result(data="train", images={"train_path": "a/train"}))
    record = merged(record, FACTS, result(data="train", images={"train_path": "b/train"}))
    assert len(record["results"]) == 2


def test_what_stays_beside_a_result_is_known_before_it():
    record = merged({}, FACTS, result(images={"size": (2, 3)}, files=["a.png"]))
    assert beside(record, FACTS, result(images={"size": (2, 3)})) == []
    assert [other["files"] for other in beside(record, FACTS, result(images={"size": (2, 4)}))] == [["a.png"]]
    assert beside(record, {**FACTS, "state": "b"}, result()) == []


def test_another_state_of_the_checkpoint_starts_anew(tmp_path):
    path = tmp_path / "evaluation.json"
    add_result(path, FACTS, result())
    add_result(path, {**FACTS, "state": "b", "epochs": 4}, result("linear"))
    assert scores(path) == [("linear", "birds", 50.0)]
    assert read_results(path)["epochs"] == 4


def test_the_same_state_elsewhere_goes_on(tmp_path):
    path = tmp_path / "evaluation.json"
    add_result(path, FACTS, result())
    add_result(path, {**FACTS, "checkpoint": "moved/last.ckpt"}, result("linear"))
    assert len(read_results(path)["results"]) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_null(value, tmp_path):
    add_result(tmp_path / "e.json", FACTS, result(acc1=value))
    assert json.loads((tmp_path / "e.json").read_text(), parse_constant=pytest.fail)["results"][0]["scores"] == {
        "acc1": None
    }


def test_settings_are_kept_to_the_last_digit(tmp_path):
    settings = {"lr": 0.123456789012, "k": [5, 20], "name": None}
    add_result(tmp_path / "e.json", FACTS, result(settings=settings))
    assert read_results(tmp_path / "e.json")["results"][0]["settings"] == settings


def test_evaluations_that_end_at_once_keep_all_results(tmp_path):
    path = tmp_path / "new" / "evaluation.json"

    def add(name):
        for number in range(8):
            add_result(path, FACTS, result(f"{name}{number}"))

    with ThreadPoolExecutor() as several:
        list(several.map(add, "abc"))
    assert len(scores(path)) == 24


def test_nothing_but_the_file_is_left(tmp_path):
    for _ in range(2):
        add_result(tmp_path / "e.json", FACTS, result())
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "e.json"
    add_result(path, FACTS, result())
    before = path.read_text()
    with pytest.raises(TypeError):
        add_result(path, FACTS, result("linear", settings={"bad": object()}))
    assert path.read_text() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"results": 1}', ""])
def test_a_file_of_another_kind_is_never_overwritten(text, tmp_path):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(UserError, match=r"e\.json"):
        add_result(tmp_path / "e.json", FACTS, result())
    assert (tmp_path / "e.json").read_text() == text


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        add_result(tmp_path / "file" / "e.json", FACTS, result())


def test_shares_are_kept_where_right_is_more_than_yes_or_no():
    shares = np.array([0.25, 1.0, 1.5], dtype=np.float64)
    kept = json.loads(json.dumps(pack(shares)))
    assert unpack(kept).tolist() == shares.tolist()
    assert "bits" in pack(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="shares of 4 images, but got 3"):
        unpack({**kept, "images": 4})
