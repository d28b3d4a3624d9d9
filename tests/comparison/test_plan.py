import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amask_solo.comparison.plan import Run, make_plan, not_shown
from amask_solo.errors import UserError

DEFINITIONS = {"random": {"masker": "random_block"}, "sequential": {"masker": "sequential"}}


def plan(**changes):
    asked = {"bases": ["byol"], "arms": ["stock", "random"], "seeds": [0, 1], "settings": ["data=shapes", "fill=blur"]}
    return make_plan(**(asked | changes), definitions=DEFINITIONS, folder=Path("here"))


@given(
    st.sets(st.sampled_from(["byol", "simclr", "simsiam"]), min_size=1),
    st.sets(st.integers(0, 9), min_size=1),
)
def test_there_is_one_run_and_one_folder_for_each_base_arm_and_seed(bases, seeds):
    runs = plan(bases=sorted(bases), seeds=sorted(seeds), arms=["stock", "random", "sequential"])
    wanted = {(base, arm, seed) for base in bases for arm in ("stock", "random", "sequential") for seed in seeds}
    assert {(run.base, run.arm, run.seed) for run in runs} == wanted
    assert len({run.folder for run in runs}) == len(runs) == len(wanted)


def test_a_comparison_cut_short_has_whole_seeds():
    assert [run.seed for run in plan(bases=["byol", "simclr"], seeds=[3, 1])] == [3] * 4 + [1] * 4


def test_arms_differ_in_what_defines_them_and_in_nothing_else():
    stock, random = plan(seeds=[7])
    assert stock.settings == ("method=byol", "data=shapes", "seed=7", f"run_folder={stock.folder}")
    shared = ("method=amask_byol", "data=shapes", "fill=blur", "masker=random_block")
    assert random.settings == (*shared, "seed=7", f"run_folder={random.folder}")


def test_settings_of_the_masks_do_not_reach_stock_runs():
    game = ["++adversary.optimizer.lr=1e-4", "localiser@adversary.masker.localiser=everywhere", "update=alternating"]
    stock, random = plan(settings=[*game, "++max_epochs=3"], seeds=[0])
    assert stock.settings[:2] == ("method=byol", "++max_epochs=3")
    assert random.settings[1:5] == (*game, "++max_epochs=3")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arms": ["stock", "randon"]}, "did you mean 'random'"),
        ({"arms": ["random", "sequential"]}, "stock"),
        ({"arms": ["stock"]}, "others to compare with"),
        ({"seeds": [0, 0]}, "different values"),
        ({"bases": []}, "different values"),
        ({"settings": ["method=simclr"]}, "use base"),
        ({"settings": ["++run_folder=x"]}, "use base"),
    ],
)
def test_what_makes_no_comparison_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        plan(**wrong)


def test_a_result_of_an_earlier_version_counts_if_what_came_later_has_its_default(tmp_path):
    (run,) = (run for run in plan(seeds=[0]) if run.arm == "stock")
    run = replace(run, folder=tmp_path)
    before = {"_target_": "amask_solo.evaluation.KNN", "k": [5, 20, 100]}
    (tmp_path / "comparison.json").write_text(json.dumps({"results": [{"protocol": "knn", "settings": before}]}))
    later = {"temperature": [0.07], "distance": "cosine"}
    assert run.lacks({"knn": before | later}) == []
    assert run.lacks({"knn": before | later | {"distance": "euclidean"}}) == ["knn"]
    assert run.lacks({"knn": before | later | {"k": [5]}}) == ["knn"]
    assert run.lacks({"knn": before | {"unknown": 1}}) == ["knn"]


def test_a_run_is_finished_when_it_says_so_and_lacks_what_was_not_measured_with_these_settings(tmp_path):
    run = Run("byol", "stock", 0, tmp_path, ())
    assert not run.trained
    (tmp_path / "summary.json").write_text('{"status": "interrupted"}')
    assert not run.trained
    (tmp_path / "summary.json").write_text('{"status": "finished"}')
    assert run.trained
    assert run.lacks({"knn": {"k": [5]}}) == ["knn"]
    done = {"results": [{"protocol": "knn", "settings": {"k": [5]}, "scores": {}}]}
    (tmp_path / "comparison.json").write_text(json.dumps(done))
    assert run.lacks({"knn": {"k": [5]}, "linear": {}}) == ["linear"]
    assert run.lacks({"knn": {"k": [20]}}) == ["knn"]


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json"):
        _ = Run("byol", "stock", 0, tmp_path, ()).trained


def test_finished_runs_of_the_folder_that_are_not_of_the_plan_are_known(tmp_path):
    runs = [replace(run, folder=tmp_path / "runs" / run.name) for run in plan(seeds=[0])]
    for name, text in {
        runs[0].name: '{"status": "finished"}',
        "byol_other_seed0": '{"status": "finished"}',
        "byol_begun_seed0": '{"status": "interrupted"}',
        "byol_broken_seed0": "{",
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "summary.json").write_text(text)
    assert not_shown(runs, tmp_path) == ["byol_other_seed0"]
    assert not_shown(runs, tmp_path / "new") == []
