"""Whether the networks of a comparison were finished."""

from dataclasses import replace

import pytest

from amask_solo.comparison.convergence import convergence, convergence_table, differences_over_epochs, unfinished
from amask_solo.comparison.records import read_record
from tests.comparison.folder import make_run


@pytest.fixture
def record(tmp_path):
    make_run(tmp_path, "byol", "stock", 0, accuracy=60.0)
    return read_record(tmp_path / "runs" / "byol_stock_seed0", "byol", "stock", 0)


def arms(record, **curves):
    """Return records of arms whose accuracy at half and at the end, of one seed or several, is given."""
    return [
        replace(record, arm=arm, seed=seed, curve=[(5, 1.0), (10, float(half)), (20, float(end))])
        for arm, values in curves.items()
        for seed, (half, end) in enumerate(values)
    ]


def test_an_arm_that_moved_by_less_than_two_points_has_converged_in_the_mean_over_seeds(record):
    rows = convergence(arms(record, stock=[(40, 41), (40, 42.5)], random=[(40, 42.5), (40, 42.5)]))
    assert [(row.arm, row.half, row.end, row.converged) for row in rows] == [
        ("stock", 40, 41.75, True),
        ("random", 40, 42.5, False),
    ]
    assert rows[0].epochs == (10, 20)


def test_arms_that_change_places_by_more_than_a_point_have_not(record):
    near, far = ({"stock": [(40, 40)], "random": [(40.5, 39.5)]}, {"stock": [(40, 40)], "random": [(41.5, 39.9)]})
    assert all(row.converged for row in convergence(arms(record, **near)))
    rows = convergence(arms(record, **far))
    assert [row.overtook for row in rows] == [("random",), ("stock",)]
    assert not any(row.converged for row in rows)


def test_bases_do_not_change_places_with_one_another(record):
    rows = convergence(
        [*arms(record, stock=[(40, 40)]), *(replace(r, base="simclr") for r in arms(record, a=[(50, 30)]))]
    )
    assert all(row.overtook == () for row in rows)


@pytest.mark.parametrize("curve", [[], [(20, 50.0)], [(18, 50.0), (20, 50.0)], [(13, 50.0), (20, 50.0)]])
def test_what_was_measured_at_the_end_only_says_nothing(record, curve):
    assert convergence([replace(record, curve=curve)]) == []
    assert len(convergence([replace(record, curve=[(12, 50.0), *curve, (20, 50.0)])])) == 1
    assert unfinished([], []) == ""


def test_the_words_name_who_was_not_finished_and_the_table_has_everyone(record):
    records = arms(record, stock=[(40, 41)], random=[(40, 45)])
    rows = convergence(records)
    assert "`random` (byol)" in unfinished(rows, records)
    assert "stock" not in unfinished(rows, records).partition(".")[0]
    table = convergence_table(rows).markdown()
    assert "| byol | stock | 1 | 40.0 (epoch 10) | 41.0 (epoch 20) | +1.0 | - | yes |" in table
    assert "| no |" in table


def test_the_difference_to_stock_is_paired_by_seed_and_epoch(record):
    records = arms(record, stock=[(40, 41), (50, 51)], random=[(42, 40), (51, 55)])
    assert differences_over_epochs(records) == {
        "byol": {"random": [[(5, 0.0), (10, 2), (20, -1)], [(5, 0.0), (10, 1), (20, 4)]]}
    }
    assert differences_over_epochs(records[2:]) == {}


def test_places_are_those_on_the_seeds_that_all_arms_have(record):
    # With its second seed, which is a bad one, stock would have been below at half, and above at the end.
    curves = {"stock": [(40, 40), (30, 45)], "random": [(38, 38)]}
    rows = convergence(arms(record, **curves))
    assert [(row.half, row.end, row.overtook) for row in rows] == [(40, 40, ()), (38, 38, ())]
    alone = [replace(r, seed=9) if r.arm == "random" else r for r in arms(record, **curves)]
    assert [(row.half, row.overtook) for row in convergence(alone)] == [(35, ()), (38, ())]


def test_the_table_says_how_many_seeds_it_is_of(record):
    rows = convergence(arms(record, stock=[(40, 41)] * 3, learned=[(40, 41)] * 2))
    assert [cells[1:3] for cells in convergence_table(rows).rows] == [["stock", "2"], ["learned", "2"]]


def test_all_are_said_to_be_unfinished_only_if_all_were_followed(record):
    records = arms(record, stock=[(40, 45)], random=[(40, 45)])
    assert "**Not finished: all of them.**" in unfinished(convergence(records), records)
    more = [*records, replace(record, arm="adios", curve=[])]
    assert "**Not finished: `stock` (byol), `random` (byol).**" in unfinished(convergence(more), more)


def test_runs_of_another_length_have_no_difference_by_epoch(record):
    shorter = [
        replace(r, curve=[(5, 50.0), (10, 60.0)]) if r.arm == "random" else r
        for r in arms(record, stock=[(40, 41)], random=[(42, 40)], adios=[(42, 43)])
    ]
    assert differences_over_epochs(shorter) == {"byol": {"adios": [[(5, 0.0), (10, 2), (20, 2)]]}}
