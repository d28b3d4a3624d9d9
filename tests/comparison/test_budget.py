"""How long arms train at equal time, by steps of known cost."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from amask_solo.comparison import budget
from amask_solo.comparison.budget import equal_time
from amask_solo.comparison.plan import make_plan
from amask_solo.errors import UserError
from tests.cli.command import SMALL, TINY


def plan(*settings, seeds=(0, 1)):
    return make_plan(
        bases=["byol"],
        arms=["stock", "random"],
        seeds=seeds,
        definitions={"random": {"masker": "random_block"}},
        settings=settings,
        folder=Path("x"),
    )


@pytest.fixture
def timed(monkeypatch):
    """Timing runs in which masks make a step four times as long; a list of their arguments."""
    made = []

    def call(_, arguments, **__):
        made.append(arguments)
        folder = Path(arguments[-1].removeprefix("run_folder="))
        folder.mkdir(parents=True, exist_ok=True)
        batches = 2 if "accumulate_grad_batches=2" in arguments else 1
        mean = batches * (0.1 if "method=byol" in arguments else 0.4)
        # The median is the same: the masker moves in every third step.
        times = {"seconds_per_step": 0.1, "mean_seconds_per_step": mean, "batches_per_step": batches}
        (folder / "summary.json").write_text(json.dumps(times))

    monkeypatch.setattr(budget, "call", call)
    return made


def test_the_arm_whose_steps_cost_more_in_the_mean_gets_fewer_epochs(tmp_path, timed):
    assert equal_time(plan(), epochs=8, folder=tmp_path) == {("byol", "stock"): 8, ("byol", "random"): 2}
    assert len(timed) == 2 * budget.ROUNDS


def test_an_arm_that_accumulates_more_gradients_makes_fewer_steps_and_not_fewer_epochs(tmp_path, timed):
    runs = plan()
    runs = [replace(r, settings=(*r.settings, "accumulate_grad_batches=2")) if r.arm == "random" else r for r in runs]
    assert equal_time(runs, epochs=8, folder=tmp_path)["byol", "random"] == 2


def test_steps_are_timed_under_the_schedules_of_the_run_with_the_game_on(tmp_path, timed):
    equal_time(plan("++scheduler.warmup_epochs=5", "++max_epochs=20"), epochs=20, folder=tmp_path)
    masked, stock = timed[:2]
    assert not any("adversary" in text for text in stock)
    assert masked[0] == "method=amask_byol"
    assert "++adversary.start_epoch=0" in masked
    for arguments in (stock, masked):
        assert [text for text in arguments if "epochs" in text] == ["++scheduler.warmup_epochs=5", "++max_epochs=20"]


def test_steps_are_timed_again_only_where_other_settings_are_asked_for(tmp_path, timed):
    equal_time(plan(), epochs=8, folder=tmp_path)
    timed.clear()
    equal_time(plan(seeds=[3]), epochs=8, folder=tmp_path)
    assert not timed
    equal_time(plan("fill=blur"), epochs=8, folder=tmp_path)
    assert {arguments[0] for arguments in timed} == {"method=amask_byol"}


def test_a_run_that_was_begun_keeps_its_length(tmp_path, timed):
    runs = plan("loader.num_workers=8")
    runs = [replace(run, folder=tmp_path / run.name) for run in runs]
    (tmp_path / "byol_random_seed0").mkdir()
    (tmp_path / "byol_random_seed0" / "config.yaml").touch()
    (tmp_path / "speed.json").write_text('{"byol_random": {"seconds": 0.2, "settings": []}}')
    assert equal_time(runs, epochs=8, folder=tmp_path)["byol", "random"] == 4
    assert {arguments[0] for arguments in timed} == {"method=byol"}


def test_speeds_of_other_settings_do_not_count(tmp_path, timed):
    other = {"seconds": 1.0, "settings": []}
    (tmp_path / "speed.json").write_text(json.dumps({"byol_stock": other, "byol_random": other}))
    assert equal_time(plan(), epochs=8, folder=tmp_path)["byol", "random"] == 2


@pytest.mark.nightly
def test_epochs_of_a_few_batches_are_timed_together(tmp_path):
    (run,) = [run for run in plan(*TINY[:-1], *SMALL, "max_epochs=9") if (run.arm, run.seed) == ("stock", 0)]
    assert budget._seconds_per_batch(budget._settings(run), tmp_path / "speed" / "byol_stock") > 0
    summary = json.loads((tmp_path / "speed" / "byol_stock" / "summary.json").read_text())
    assert summary["steps"] == 9 * 2


def test_a_run_with_too_few_steps_to_time_is_a_mistake_of_the_user(tmp_path):
    (run,) = [run for run in plan(*TINY, *SMALL) if (run.arm, run.seed) == ("stock", 0)]
    with pytest.raises(UserError, match="too few steps"):
        budget._seconds_per_batch(budget._settings(run), tmp_path / "speed" / "byol_stock")
