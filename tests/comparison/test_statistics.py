import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amask_solo.comparison.statistics import POOLED, compare, image_interval, paired_difference
from tests.comparison.folder import LINEAR, SEEDS, record

METRIC = "linear/acc1"
ACCURACIES = st.floats(0, 100, allow_nan=False)
PAIRS = st.lists(st.tuples(ACCURACIES, ACCURACIES), min_size=1, max_size=6)


def records(values=LINEAR):
    return [
        record(base, arm, seed, value)
        for (base, arm), of_seeds in values.items()
        for seed, value in zip(SEEDS, of_seeds, strict=True)
    ]


def rows(made=None):
    return {(row.base, row.arm): row for row in compare(records() if made is None else made, METRIC)}


@pytest.mark.parametrize(("base", "arm"), LINEAR)
def test_mean_and_std_are_those_of_the_seeds(base, arm):
    row = rows()[base, arm]
    assert row.mean == pytest.approx(statistics.fmean(LINEAR[base, arm]))
    assert row.std == pytest.approx(statistics.stdev(LINEAR[base, arm]))
    assert row.count == 3


@pytest.mark.parametrize("reference", ["stock", "random"])
@pytest.mark.parametrize("base", ["byol", "simclr"])
def test_the_interval_is_that_of_a_paired_t_test(base, reference):
    difference = rows()[base, "sequential"].differences[reference]
    expected = stats.ttest_rel(LINEAR[base, "sequential"], LINEAR[base, reference]).confidence_interval(0.95)
    assert difference.interval == pytest.approx((expected.low, expected.high))
    assert difference.mean == pytest.approx((expected.low + expected.high) / 2)
    assert difference.count == 3


def test_the_corrected_interval_is_that_of_a_paired_t_test_at_the_share_of_the_error_that_is_its_own():
    # Two bases and all of them together, three arms against stock, two of these against random.
    expected = stats.ttest_rel(LINEAR["byol", "adios"], LINEAR["byol", "stock"]).confidence_interval(1 - 0.05 / 15)
    assert rows()["byol", "adios"].differences["stock"].corrected == pytest.approx((expected.low, expected.high))


def test_a_difference_that_stands_alone_needs_no_correction():
    made = rows([r for r in records() if r.base == "byol" and r.arm in ("stock", "adios")])
    difference = made["byol", "adios"].differences["stock"]
    assert difference.corrected is None
    assert difference.counts == difference.interval


def test_where_nothing_differs_hardly_any_report_sees_a_difference():
    draw = np.random.default_rng(0)
    wrong = {"corrected": 0, "interval": 0}
    for _ in range(200):
        values = {("byol", arm): tuple(draw.normal(60, 1, 3)) for arm in ("stock", "random", "a", "b", "c")}
        found = [d for row in compare(records(values), METRIC) for d in row.differences.values()]
        for kind in wrong:
            wrong[kind] += any(low > 0 or high < 0 for low, high in (getattr(d, kind) for d in found))
    # At most 10 are expected, and many times that without the correction.
    assert wrong["corrected"] <= 16
    assert wrong["interval"] > 30


def test_bases_are_pooled_pair_by_pair():
    row = rows()[POOLED, "adios"]
    adios, stock = (LINEAR["byol", arm] + LINEAR["simclr", arm] for arm in ("adios", "stock"))
    expected = stats.ttest_rel(adios, stock).confidence_interval(0.95)
    assert row.differences["stock"].interval == pytest.approx((expected.low, expected.high))
    assert (row.differences["stock"].count, row.count, row.mean) == (6, 6, None)


def test_a_difference_that_a_base_lacks_is_not_pooled_and_counts_for_no_correction():
    made = [r for r in records() if r.base == "byol" or r.arm in ("stock", "random")]
    found = rows(made)
    assert {arm for base, arm in found if base == POOLED} == {"random"}
    # Of byol three arms against stock and two against random; of simclr and of both, random against stock.
    expected = stats.ttest_rel(LINEAR["byol", "adios"], LINEAR["byol", "stock"]).confidence_interval(1 - 0.05 / 7)
    assert found["byol", "adios"].differences["stock"].corrected == pytest.approx((expected.low, expected.high))


def test_a_single_base_is_not_pooled():
    assert {base for base, _ in rows([r for r in records() if r.base == "byol"])} == {"byol"}


def test_a_seed_that_one_of_the_arms_lacks_makes_no_pair():
    made = [r for r in records() if (r.base, r.arm, r.seed) != ("byol", "stock", 1)]
    difference = rows(made)["byol", "adios"].differences["stock"]
    assert difference.count == 2
    assert difference.mean == pytest.approx(((57.9 - 60.0) + (60.0 - 62.0)) / 2)
    assert rows(made)["byol", "adios"].count == 3


def test_one_seed_has_neither_spread_nor_interval():
    made = rows([r for r in records() if r.seed == 0 and r.base == "byol"])
    assert made["byol", "adios"].std is None
    assert made["byol", "adios"].differences["stock"].interval is None
    assert made["byol", "adios"].differences["stock"].mean == pytest.approx(-2.1)


def test_runs_without_the_metric_do_not_count():
    made = [*records(), record("byol", "stock", 7, 99.0, metric="knn/acc1")]
    assert rows(made) == rows()
    assert compare(records(), "unknown/acc1") == []


def test_stock_comes_first_then_random_then_the_rest_by_name():
    assert [row.arm for row in compare(records(), METRIC)][:4] == ["stock", "random", "adios", "sequential"]
    assert [row.base for row in compare(records(), METRIC)] == ["byol"] * 4 + ["simclr"] * 4 + [POOLED] * 3


def test_stock_and_random_are_not_compared_with_themselves():
    assert not rows()["byol", "stock"].differences
    assert set(rows()["byol", "random"].differences) == {"stock"}


def test_equal_differences_have_an_interval_of_one_point():
    difference = paired_difference({0: 3.0, 1: 5.0}, {0: 1.0, 1: 3.0})
    assert difference.interval == (2.0, 2.0)


@settings(max_examples=30)
@given(st.permutations(records()))
def test_the_order_of_runs_does_not_matter(shuffled):
    assert compare(shuffled, METRIC) == compare(records(), METRIC)


@given(PAIRS, st.floats(-50, 50))
def test_a_shift_of_an_arm_shifts_the_difference(pairs, shift):
    values, reference = (dict(enumerate(column)) for column in zip(*pairs, strict=True))
    before = paired_difference(values, reference)
    after = paired_difference({seed: value + shift for seed, value in values.items()}, reference)
    assert after.mean == pytest.approx(before.mean + shift, abs=1e-9)
    ends = [] if before.interval is None else [end + shift for end in before.interval]
    assert list(after.interval or []) == pytest.approx(ends, abs=1e-6)


@given(PAIRS)
def test_swapping_the_arms_turns_the_sign(pairs):
    values, reference = (dict(enumerate(column)) for column in zip(*pairs, strict=True))
    forth, back = paired_difference(values, reference), paired_difference(reference, values)
    assert math.isclose(forth.mean, -back.mean, abs_tol=1e-12)
    if forth.interval:
        assert forth.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-9)


def test_the_interval_over_images_is_that_of_the_paired_differences_of_images():
    chance = np.random.default_rng(1)
    reference = chance.random(2000) < 0.6
    arm = np.where(chance.random(2000) < 0.1, ~reference, reference)
    low, high = image_interval([(arm, reference)])
    differences = 100 * (arm.astype(float) - reference)
    half = 1.96 * differences.std() / math.sqrt(2000)
    assert (low, high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.15)
    # Unpaired, it would be more than three times as wide.
    assert high - low < 3


def test_seeds_share_their_images_so_more_of_them_do_not_make_the_interval_over_images_vanish():
    right, wrong = np.array([True] * 6 + [False] * 4), np.array([True] * 5 + [False] * 5)
    assert image_interval([(right, wrong)] * 50) == image_interval([(right, wrong)])


def test_identical_runs_have_no_width_and_other_images_no_interval():
    right = np.array([True, False, True])
    assert image_interval([(right, right)]) == (0.0, 0.0)
    assert image_interval([(right, right[:2])]) is None
    assert image_interval([]) is None


def test_runs_on_other_images_have_no_interval_over_images_even_if_there_are_as_many():
    def of(arm, seed, **summary):
        right = {METRIC: np.arange(20) % (2 + len(arm)) > 0}
        return replace(record("byol", arm, seed, 50.0), summary=summary, right=right)

    one, other = ({"fingerprint": {"images": 20, "classes": [], "names": names}} for names in ("12ab", "34cd"))

    def over_images(*made):
        return rows(made)["byol", "x"].differences["stock"].images

    assert over_images(of("stock", 0, **one), of("x", 0, **one)) is not None
    assert over_images(of("stock", 0, **one), of("x", 0, **other)) is None
    # Nor do seeds share their luck if each has images of its own.
    seeds = [of(arm, seed, **images) for seed, images in enumerate((one, other)) for arm in ("stock", "x")]
    assert over_images(*seeds) is None
    assert over_images(of("stock", 0), of("x", 0, **one)) is not None


def test_differences_that_are_all_alike_have_no_interval_that_decides():
    difference = paired_difference({0: 60.1, 1: 65.1}, {0: 55.1, 1: 60.1})
    assert difference.interval[0] == difference.interval[1]
    assert difference.counts is None
