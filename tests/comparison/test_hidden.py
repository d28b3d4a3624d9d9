from dataclasses import replace

from amask_solo.comparison.hidden import ENOUGH, exploitability_table, exploited, hidden_parts
from tests.comparison.folder import record


def attacked(arm, seed, gap, left):
    scores = {"attack/gap": gap, "attack/lift_own": 0.1, "attack/lift": 0.1 * gap, "attack/acc1_attack": left}
    return replace(record("byol", arm, seed, 50.0), scores=scores)


def test_exploitability_stands_beside_what_is_left():
    rows = exploitability_table([attacked("a", seed, 2.0 + seed, 38.0 - seed) for seed in range(3)]).rows
    assert rows == [["byol", "a", "3.00 ± 1.00", "0.100 ± 0.000", "0.300 ± 0.100", "37.0 ± 1.0"]]


def test_arms_are_correlated_and_not_their_runs_which_differ_by_chance():
    # Within an arm both rise together from seed to seed, and between arms one falls.
    runs = [attacked(f"arm{n}", seed, 2.0 + n + seed / 10, 40.0 - n + seed / 10) for n in range(5) for seed in range(3)]
    assert exploited(runs).endswith("of the arms' means: byol: -1.00 over 5 arms.")
    assert exploited([run for run in runs if run.arm != "arm4"]) == ""
    assert len(runs) - 3 > ENOUGH


def test_what_is_left_under_worse_and_worse_occlusion_is_said_if_all_were_attacked():
    scores = {"linear/acc1": 50.0, "attack/acc1_random": 30.0, "attack/acc1_attack": 20.0, "attack/acc1_worst": 1.0}
    runs = [replace(record("byol", arm, seed, 50.0), scores=scores) for arm in ("stock", "random") for seed in (0, 1)]
    said = hidden_parts([*runs[:-1], replace(runs[-1], scores=scores | {"attack/acc1_worst": 3.0})])
    assert "`stock` 50.0, 30.0, 20.0, 1.0; `random` 50.0, 30.0, 20.0, 2.0." in said
    assert said.count(",", 0, said.index(";")) == 3
    assert hidden_parts([*runs, record("byol", "adios", 0, 50.0)]) == ""


def test_what_is_left_is_the_mean_over_the_same_bases_and_seeds_for_all_arms():
    def run(base, arm, seed, left):
        return replace(record(base, arm, seed, 50.0), scores={"linear/acc1": left, "attack/acc1_attack": left / 2})

    runs = [run("simclr", "stock", 0, 50.0), run("simclr", "learned", 0, 50.0), run("simclr", "learned", 1, 20.0)]
    said = hidden_parts([*runs, run("byol", "stock", 0, 40.0)])
    assert "`stock` 50.0, 25.0; `learned` 50.0, 25.0." in said
    assert "where all arms have a run: simclr 0)" in said
    assert "where all" not in hidden_parts(runs[:2])
    assert hidden_parts([runs[2], run("simclr", "stock", 0, 50.0)]) == ""


def test_means_over_several_bases_are_said_to_be_that():
    def run(base, arm):
        return replace(record(base, arm, 0, 50.0), scores={"linear/acc1": 50.0, "attack/acc1_attack": 30.0})

    runs = [run(base, arm) for base in ("simclr", "byol") for arm in ("stock", "learned")]
    assert "in percent; means over the bases byol, simclr):" in hidden_parts(runs)
    assert "means" not in hidden_parts(runs[:2])
