"""The script that carries out an experiment: what it draws, chooses and asks for."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from amask_solo.cli.comparison import check_comparison, chosen_protocols, make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.overrides import checked
from amask_solo.runs.run_folder import check_same_run
from tests.daily import one_in

SCRIPT = Path(__file__).parents[1] / "scripts" / "experiment.py"
spec = importlib.util.spec_from_file_location("experiment", SCRIPT)
experiment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(experiment)


@pytest.fixture
def plan():
    return OmegaConf.to_container(OmegaConf.load(experiment.PLAN), resolve=True)


@pytest.fixture
def rows(plan):
    """A table of scores in which the third trial of each family is the best."""
    return [
        {"arm": arm, "seed": "100", "linear/acc1": str(50.0 - abs(n - 2))}
        for family in experiment.trials(plan).values()
        for n, arm in enumerate(family)
    ]


def asked(plan, step, chosen=None, **more):
    """Return the configurations of amask-compare that a step asks for, checked as the command does it."""
    made = []
    for _, settings in experiment.comparisons(plan, step, chosen):
        words = [experiment.word(*pair) for pair in {**settings, **more}.items()]
        made.append(composed("compare", sort_arguments(words)))
        check_comparison(made[-1])
    return made


def test_families_have_equally_many_trials_that_stay_within_their_ranges(plan):
    for name, made in experiment.trials(plan).items():
        assert len(made) == plan["tune"]["trials"]
        for settings in made.values():
            family = plan["families"][name]
            allowed = set(family.get("fixed", {}))
            for key, space in family["ranges"].items():
                if isinstance(space, dict):
                    assert space["low"] <= settings[key] <= space["high"]
                elif key in settings:
                    assert settings[key] in space
                else:
                    assert any(choice.items() <= settings.items() for choice in space)
                    allowed |= {name for choice in space for name in choice}
                allowed.add(key)
            assert settings.keys() <= allowed


def test_a_trial_is_always_the_same_and_other_keys_change_nothing_of_it(plan):
    before = experiment.trials(plan)
    plan["families"]["adios"]["ranges"]["fill"] = ["zero"]
    plan["tune"]["trials"] += 1
    after = experiment.trials(plan)
    assert after["sequential"].items() >= before["sequential"].items()
    for arm, settings in before["adios"].items():
        assert after["adios"][arm] == settings | {"fill": "zero"}
    plan["tune"]["draw"] += 1
    assert experiment.trials(plan)["random"] != after["random"]


def test_the_logarithm_is_drawn_evenly():
    space = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    low = sum(experiment.draw(space, str(n))["lr"] < 1e-3 for n in range(200))
    assert 70 < low < 130


def test_a_choice_may_be_several_keys():
    assert experiment.draw({"pick": [{"fill": "blur", "adversary.share": 0.5}]}, "0") == {
        "fill": "blur",
        "adversary.share": 0.5,
    }


def test_the_best_trial_of_each_family_is_chosen_and_all_scores_are_kept(plan, rows):
    chosen = experiment.choose(plan, rows, lost=False)
    for name, found in chosen["families"].items():
        assert found["trial"] == f"{name}_2"
        assert found["settings"] == experiment.trials(plan)[name][f"{name}_2"]
        assert len(found["scores"]) == plan["tune"]["trials"]


def test_a_trial_without_a_score_is_no_reason_to_choose_among_fewer_unless_that_is_said(plan, rows):
    absent = [row for row in rows if row["arm"] != "adios_2"]
    empty = [row | {"linear/acc1": row["linear/acc1"] if row["arm"] != "adios_2" else ""} for row in rows]
    for lacking in (absent, empty):
        with pytest.raises(SystemExit, match="adios_2"):
            experiment.choose(plan, lacking, lost=False)
        found = experiment.choose(plan, lacking, lost=True)["families"]["adios"]
        assert found["lost"] == ["adios_2"]
        assert found["trial"] in ("adios_1", "adios_3")


@pytest.mark.nightly
def test_what_is_asked_for_is_right_and_tuning_never_sees_what_confirms(plan, rows, tmp_path):
    small = {"data": "shapes", "base": ["simclr"]}
    plan["tune"]["trials"] = 2
    plan["all"] = {key: value for key, value in plan["all"].items() if not key.startswith("data.")}
    (tuning,) = asked(plan, "tune", **small, folder=str(tmp_path / "tune"))
    assert tuning.split == "tune"
    runs = make_runs(tuning)
    assert len(runs) == 1 + 3 * plan["tune"]["trials"]
    assert all("++data.tune_fraction=0.2" in run.settings for run in runs)
    rows = [row for row in rows if row["arm"].endswith(("_0", "_1"))]
    chosen = json.loads(json.dumps(experiment.choose(plan, rows, lost=False)))
    for cfg in asked(plan, "confirm", chosen, **small, folder=str(tmp_path / "confirm")):
        assert cfg.split == "confirm"
        assert cfg.definitions.sequential == chosen["families"]["sequential"]["settings"]
        assert not set(cfg.seed) & set(tuning.seed)


def test_seeds_that_tuned_confirm_nothing(plan, rows):
    plan["confirm"]["compare"]["simclr"]["seed"].append(100)
    with pytest.raises(SystemExit, match="seeds that tuned"):
        list(experiment.comparisons(plan, "confirm", experiment.choose(plan, rows, lost=False)))


def test_what_another_plan_has_chosen_is_refused(plan, rows):
    chosen = experiment.choose(plan, rows, lost=False)
    plan["tune"]["draw"] += 1
    with pytest.raises(SystemExit, match="another plan"):
        experiment.confirming(plan, chosen)


@pytest.mark.parametrize("name", ["experiment", "experiment_gpu"])
def test_scores_of_trials_with_other_settings_than_the_plans_choose_nothing(name):
    results = experiment.PLAN.parents[1] / name
    plan = OmegaConf.to_container(OmegaConf.load(results / "plan.yaml"), resolve=True)
    report = (results / "tune" / "report.md").read_text()
    experiment.check_tuned(plan, report)
    for place, key, other, said in (
        (plan["families"]["random"]["ranges"]["adversary.masker.area"], "high", 0.6, "random_0"),
        (plan["tune"]["compare"], "max_epochs", 1, "max_epochs"),
        (plan["tune"]["compare"], "seed", [99], "seed"),
    ):
        right, place[key] = place[key], other
        with pytest.raises(SystemExit, match=f"of another plan: .*{said}.* differ"):
            experiment.check_tuned(plan, report)
        place[key] = right
    experiment.check_tuned(plan, report)


@pytest.mark.parametrize(
    "more",
    ["max_epochs=1", "seed=[7]", "data.max_images=10", "++trainer.max_steps=3", "+definitions.adios_0.fill=zero"],
)
def test_scores_of_a_command_that_changed_the_plan_at_its_end_choose_nothing(plan, more):
    report = (experiment.PLAN.parent / "tune" / "report.md").read_text()
    changed = re.sub(
        "^amask-compare .*$", rf"\g<0> {more} trainer=gpu hydra/launcher=joblib", report, flags=re.MULTILINE
    )
    with pytest.raises(SystemExit, match=re.escape(more.lstrip("+").partition("=")[0].removeprefix("definitions."))):
        experiment.check_tuned(plan, changed)
    experiment.check_tuned(plan, changed.replace(f" {more} ", " "))


@pytest.mark.parametrize("name", one_in(3, ["exploitability", "hidden_features", "convergence"]))
def test_a_plan_without_families_has_nothing_to_tune_and_asks_for_its_arms_as_they_are(name, tmp_path, monkeypatch):
    file = experiment.PLAN.parents[1] / name / "plan.yaml"
    plan = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    compared = plan["confirm"]["compare"].values()
    for own in compared:
        own |= {"base": own["base"][:1], "seed": own["seed"][:1]}  # the others differ in nothing else
    for settings in (plan["all"], *compared):
        for key in [key for key in settings if key.startswith("data.")]:
            del settings[key]
        settings.update({"data": "shapes"} if "data" in settings else {})
    cfgs = asked(plan, "confirm", folder=str(tmp_path / "confirm"))
    arms = plan["confirm"]["arms"]
    assert all(list(cfg.definitions.learned) == list(arms["learned"]) for cfg in cfgs)
    assert [len(make_runs(cfg)) for cfg in cfgs] == [1 + len(arms)] * len(compared)
    monkeypatch.setattr(sys, "argv", ["experiment.py", "tune", "--plan", str(file)])
    with pytest.raises(SystemExit, match="tunes nothing"):
        experiment.main()


KEPT = [(name, comparison) for name in ("convergence", "experiment") for comparison in ("simclr", "others")]


@pytest.mark.parametrize(("name", "comparison"), one_in(3, KEPT))
def test_what_a_plan_has_finished_is_not_made_again_by_a_later_version(tmp_path, name, comparison):
    results, comparison = experiment.PLAN.parents[1] / name, f"confirm_{comparison}"
    plan = OmegaConf.to_container(OmegaConf.load(results / "plan.yaml"), resolve=True)
    here = {"data.train_path": str(tmp_path), "data.val_path": str(tmp_path), "folder": str(tmp_path / "made")}
    settings = dict(experiment.comparisons(plan, "confirm", experiment.read_choice(plan, results)))[comparison]
    words = [experiment.word(*pair) for pair in (settings | here).items()]
    cfg = composed("compare", sort_arguments(words))
    kept = {path.name: path for path in (results / comparison / "runs").iterdir()}
    runs = [replace(run, folder=kept[run.name]) for run in make_runs(cfg, check=False) if run.name in kept]
    assert len(runs) == len(kept)
    protocols = chosen_protocols(cfg)
    assert all(run.trained and run.lacks(protocols) == [] for run in runs)
    for run in {(run.base, run.arm): run for run in runs}.values():  # seeds of an arm differ in nothing else
        images = [f"++data.{key}={plan['all'][f'data.{key}']}" for key in ("train_path", "val_path")]
        check_same_run(run.folder, composed("pretrain", checked("pretrain", [*run.settings, *images])))


def test_what_is_kept_lies_here_and_is_no_link():
    assert [path for path in experiment.PLAN.parents[1].rglob("*") if path.is_symlink()] == []


def test_a_comparison_that_was_killed_is_no_success(tmp_path, monkeypatch, plan, rows):
    OmegaConf.save(OmegaConf.create(plan), tmp_path / "plan.yaml")
    (tmp_path / "chosen.json").write_text(json.dumps(experiment.choose(plan, rows, lost=False)))
    codes = iter([-9, 0])
    monkeypatch.setattr(experiment, "carry_out", lambda *_: next(codes))
    monkeypatch.setattr(sys, "argv", ["experiment.py", "confirm", "--plan", str(tmp_path / "plan.yaml")])
    with pytest.raises(SystemExit) as end:
        experiment.main()
    assert end.value.code == 9


def test_after_ctrl_c_no_other_comparison_is_begun(tmp_path, monkeypatch, plan, rows):
    (tmp_path / "chosen.json").write_text(json.dumps(experiment.choose(plan, rows, lost=False)))
    plan["work"] = str(tmp_path / "work")
    OmegaConf.save(OmegaConf.create(plan), tmp_path / "plan.yaml")
    begun = []

    class Told:
        returncode = 130

        def __init__(self, command):
            begun.append(command)

        def poll(self):
            return self.returncode

    monkeypatch.setattr(experiment.subprocess, "Popen", Told)
    monkeypatch.setattr(sys, "argv", ["experiment.py", "confirm", "--plan", str(tmp_path / "plan.yaml")])
    with pytest.raises(SystemExit) as end:
        experiment.main()
    assert (end.value.code, len(begun)) == (130, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "Cannot read the plan"), ("- 1", "is no plan"), ("a: [", "Cannot read the plan"), ("a: 1", "is no plan")],
)
def test_what_is_no_plan_is_one_line(tmp_path, monkeypatch, text, said):
    file = tmp_path / "plan.yaml"
    if text:
        file.write_text(text)
    monkeypatch.setattr(sys, "argv", ["experiment.py", "confirm", "--plan", str(file)])
    with pytest.raises(SystemExit, match=said):
        experiment.main()


def test_what_is_kept_takes_no_place_of_a_run_that_is_being_made_again(tmp_path, monkeypatch):
    for name in ("kept/runs/finished", "kept/runs/again", "work/runs/again"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "summary.json").write_text(name)
    monkeypatch.setattr(experiment.sys, "executable", "true")
    assert experiment.carry_out({"protocol": ["knn"]}, [], tmp_path / "work", tmp_path / "kept") == 0
    found = {path.parent.name: path.read_text() for path in tmp_path.glob("work/runs/*/summary.json")}
    assert found == {"finished": "kept/runs/finished", "again": "work/runs/again"}


def test_what_is_kept_is_small_and_enough_to_know_what_is_finished(tmp_path):
    run = tmp_path / "work" / "runs" / "simclr_stock_seed0"
    (run / "checkpoints").mkdir(parents=True)
    for name in (*experiment.OF_RUN, "checkpoints/last.ckpt"):
        (run / name).write_text("{}")
    (run / "comparison.json").write_text('{"results": [{"protocol": "knn"}, {"protocol": "linear"}]}')
    half = tmp_path / "work" / "runs" / "simclr_random_seed0"
    half.mkdir()
    (half / "comparison.json").write_text('{"results": [{"protocol": "knn"}]}')
    (tmp_path / "work" / "runs" / "simclr_adios_seed0").mkdir()
    experiment.keep(tmp_path / "work", tmp_path / "kept", ["linear", "knn"])
    kept = [str(path.relative_to(tmp_path / "kept")) for path in tmp_path.glob("kept/**/*") if path.is_file()]
    assert sorted(kept) == sorted(f"runs/simclr_stock_seed0/{name}" for name in experiment.OF_RUN)
