import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amask_solo.comparison.scores import Scale, metric_name, scale
from amask_solo.comparison.statistics import POOLED, Difference, Row, compare
from amask_solo.comparison.wording import (
    answer,
    caution,
    number,
    sentences,
    verdict,
)
from tests.comparison.folder import record

NUMBERS = st.floats(-100, 100, allow_nan=False)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Difference(0.3, (-1.2, 1.8), 3), "no difference seen: +0.3 points, 95 % interval [-1.2, 1.8], 3 seeds"),
        (Difference(-0.3, (-1.8, 1.2), 2), "no difference seen: -0.3 points, 95 % interval [-1.8, 1.2], 2 seeds"),
        (Difference(1.9, (0.6, 3.2), 3), "higher by 1.9 points, 95 % interval [0.6, 3.2], 3 seeds"),
        (Difference(-1.9, (-3.2, -0.6), 3), "lower by 1.9 points, 95 % interval [-3.2, -0.6], 3 seeds"),
        (
            Difference(1.9, (0.6, 3.2), 3, corrected=(-1.0, 4.8)),
            "no difference seen: +1.9 points, 95 % interval [0.6, 3.2], corrected [-1.0, 4.8], 3 seeds",
        ),
        (
            Difference(1.9, (0.6, 3.2), 3, corrected=(0.1, 3.7)),
            "higher by 1.9 points, 95 % interval [0.6, 3.2], corrected [0.1, 3.7], 3 seeds",
        ),
        (Difference(1.2, None, 1), "one seed: 1.2 points above, no interval"),
        (Difference(-1.2, None, 1), "one seed: 1.2 points below, no interval"),
        (Difference(0.0, None, 1), "one seed: 0.0 points apart, no interval"),
        (
            Difference(1.9, (0.6, 3.2), 3, images=(-0.4, 4.2)),
            "higher by 1.9 points on these images, 95 % interval [0.6, 3.2], over images [-0.4, 4.2], 3 seeds",
        ),
        (Difference(0.0, (0.0, 0.0), 3), "no difference seen: identical scores in 3 seeds, no interval"),
        (Difference(-5.0, (-5.0, -5.0), 2), "too few images to say: 5.0 points below in each of 2 seeds, no interval"),
        (Difference(0.02, (-0.02, 0.04), 3), "no difference seen: +0.02 points, 95 % interval [-0.02, 0.04], 3 seeds"),
        (Difference(0.04, None, 1), "one seed: 0.04 points above, no interval"),
        (Difference(0.04, (0.04, 0.04), 2), "too few images to say: 0.04 points above in each of 2 seeds, no interval"),
        (
            Difference(0.00002, (0.00001, 0.00003), 2),
            "higher by 0.00002 points, 95 % interval [0.00001, 0.00003], 2 seeds",
        ),
        (None, "no two runs with the same seed"),
    ],
)
def test_the_words_follow_the_numbers(difference, said):
    assert verdict(difference) == said


@pytest.mark.parametrize("ends", [(0.04, 2.0), (-2.0, -0.04), (0.0, 1.0)])
def test_an_interval_that_is_printed_with_an_end_at_zero_covers_zero(ends):
    said = verdict(Difference(sum(ends) / 2, ends, 3))
    assert said.startswith("no difference seen")
    assert "-0.0" not in said


@given(NUMBERS, NUMBERS, st.integers(2, 9))
def test_the_verdict_can_be_checked_from_the_printed_interval(a, b, count):
    assume(abs(a - b) > 0.01)
    said = verdict(Difference((a + b) / 2, (min(a, b), max(a, b)), count))
    low, high = map(float, re.search(r"\[(.+), (.+)\]", said).groups())
    kind = "no difference seen" if low <= 0 <= high else "higher by" if low > 0 else "lower by"
    assert said.startswith(kind)
    assert said.endswith(f"{count} seeds")


@given(NUMBERS, NUMBERS)
def test_nothing_is_called_significant(a, b):
    for difference in (Difference(a, (a - abs(b), a + abs(b)), 3), Difference(a, None, 1)):
        assert not re.search("signific|prove|clear|outperform", verdict(difference))


def test_pooled_rows_count_pairs():
    row = Row(POOLED, "adios", 6, differences={"stock": Difference(1.0, (0.5, 1.5), 6)})
    assert sentences([row], "stock") == [
        "`adios` against `stock`: higher by 1.0 points, 95 % interval [0.5, 1.5], 6 pairs."
    ]


def test_an_arm_is_not_compared_with_itself():
    rows = [Row("byol", arm, 1, 50.0) for arm in ("stock", "random", "adios")]
    assert [said.split(":")[0] for said in sentences(rows, "stock")] == [
        "`random` against `stock`",
        "`adios` against `stock`",
    ]
    assert [said.split(":")[0] for said in sentences(rows, "random")] == ["`adios` against `random`"]


def rows_of(*runs):
    return compare([record(*run) for run in runs], "linear/acc1")


def test_a_single_base_is_answered_in_one_paragraph():
    text = answer(rows_of(("byol", "stock", 0, 60), ("byol", "random", 0, 61), ("byol", "adios", 0, 59)), "linear/acc1")
    assert text == (
        "By linear accuracy, byol. **Does masking help?** `random` against `stock`: one seed: 1.0 points above, no "
        "interval. `adios` against `stock`: one seed: 1.0 points below, no interval. **Does it help more than random "
        "masks?** `adios` against `random`: one seed: 2.0 points below, no interval."
    )


def test_several_bases_are_answered_together_and_one_by_one():
    text = answer(
        rows_of(("byol", "stock", 0, 60), ("byol", "x", 0, 61), ("simclr", "stock", 0, 70), ("simclr", "x", 0, 72)),
        "linear/acc1",
    )
    paragraph, bases = text.split("\n\n")
    assert "By linear accuracy, all bases." in paragraph
    assert "+1.5 points" in paragraph
    assert "2 pairs" in paragraph
    assert bases.splitlines() == [
        "- byol: `x` against `stock`: one seed: 1.0 points above, no interval.",
        "- simclr: `x` against `stock`: one seed: 2.0 points above, no interval.",
    ]


def test_bases_of_different_numbers_of_pairs_are_said_to_weigh_as_these():
    runs = [("byol", arm, seed, 60 + seed) for arm in ("stock", "x") for seed in range(3)]
    even = [("simclr", arm, seed, 70) for arm in ("stock", "x") for seed in range(3)]
    assert "count by" not in answer(rows_of(*runs, *even), "linear/acc1")
    text = answer(rows_of(*runs, *even[:1], even[3]), "linear/acc1")
    assert "The bases count by their pairs, up to so many an arm: byol 3, simclr 1." in text


BYOL = [("byol", "stock", 0, 60), ("byol", "random", 0, 61), ("byol", "learned", 0, 63)]


def test_what_some_bases_lack_is_not_said_of_all():
    rows = rows_of(*BYOL, ("simclr", "stock", 0, 70), ("simclr", "random", 0, 72))
    paragraph, bases = answer(rows, "linear/acc1").split("\n\n")
    assert paragraph.startswith("By linear accuracy, all bases. **Does masking help?** `random` against `stock`")
    assert "learned" not in paragraph
    assert "`learned` against `stock`: one seed: 3.0 points above" in bases.splitlines()[0]


def test_where_all_bases_have_nothing_in_common_each_is_answered_alone():
    text = answer(rows_of(*BYOL, ("simclr", "stock", 0, 70), ("simclr", "other", 0, 72)), "linear/acc1")
    paragraph, bases = text.split("\n\n")
    assert paragraph == "By linear accuracy, no arm can be compared over all bases."
    assert [line.split(":")[0] for line in bases.splitlines()] == ["- byol", "- simclr"]
    assert "`other` against `stock`: one seed: 2.0 points above" in bases
    alone = answer(rows_of(*BYOL, ("simclr", "stock", 0, 70)), "linear/acc1")
    assert alone.endswith("- simclr: nothing to compare.")


def test_a_pair_that_some_bases_lack_is_not_said_to_be_lacking_in_all():
    simclr = [("simclr", "stock", 0, 70), ("simclr", "stock", 1, 70), ("simclr", "random", 0, 72)]
    text = answer(rows_of(*BYOL, *simclr, ("simclr", "learned", 1, 74)), "linear/acc1")
    paragraph, bases = text.split("\n\n")
    assert "`learned` against `stock`: no difference seen" in paragraph
    assert "`learned` against `random`" not in paragraph
    assert "`learned` against `random`: no two runs with the same seed" in bases.splitlines()[1]


def test_a_question_without_its_reference_is_not_asked():
    text = answer(rows_of(("byol", "random", 0, 60), ("byol", "adios", 0, 61)), "linear/acc1")
    assert "Does masking help?" not in text
    assert "`adios` against `random`: one seed: 1.0 points above" in text


def test_runs_that_share_no_seed_are_said_to_share_none():
    text = answer(rows_of(("byol", "stock", 0, 60), ("byol", "adios", 1, 61)), "linear/acc1")
    assert "`adios` against `stock`: no two runs with the same seed." in text


def test_without_runs_or_without_a_pair_of_arms_there_is_no_answer():
    assert answer([], "linear/acc1") == "No run is finished, so there is no answer yet."
    assert answer(rows_of(("byol", "stock", 0, 60)), "linear/acc1") == "No arm can be compared by linear accuracy yet."


def test_the_words_are_said_to_hold_for_all_differences_of_a_metric():
    scores = {"stock": (60, 61), "random": (60, 63), "adios": (60, 62.5)}
    rows = rows_of(*[("byol", arm, seed, scores[arm][seed]) for arm in scores for seed in (0, 1)])
    assert "up to 3 here" in caution([rows, rows])
    assert "the first gives the answer; choose it before" in caution([rows, rows])
    assert "the first gives" not in caution([rows])
    assert "intervals" not in caution([rows_of(("byol", "stock", 0, 60), ("byol", "adios", 0, 61))])
    assert caution([rows_of(("byol", "stock", 0, 60))]) == ""


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (41.26, 1, False, "41.3"),
        (-0.04, 1, True, "0.0"),
        (1.5, 1, True, "+1.5"),
        (-1.5, 1, True, "-1.5"),
        (12345.6, 0, False, "12,346"),
        (None, 1, False, "-"),
        (float("nan"), 1, False, "-"),
    ],
)
def test_numbers_are_printed_alike(value, digits, sign, text):
    assert number(value, digits, sign=sign) == text


def test_a_score_is_printed_as_its_protocol_declares():
    assert scale("knn/acc1") == scale("robustness@stl10/acc1_curve") == Scale()
    for metric in ("attack/lift", "attack_curve/lift_area0.1", "attack@stl10/gap"):
        assert scale(metric) == Scale(percent=False, lower=True)
    assert scale("attack/lift_own") == Scale(percent=False)
    assert scale("linear/bg_gap") == Scale(lower=True)
    said = verdict(Difference(0.004, (0.001, 0.007), 3), scale=scale("attack/lift_own"))
    assert said == "higher by 0.004, 95 % interval [0.001, 0.007], 3 seeds"


def test_metrics_have_plain_names():
    assert metric_name("attack@stl10/gap") == "attack@stl10 exploitability"
    assert metric_name("knn/acc1") == "kNN accuracy"
    assert metric_name("transfer/cars/linear_acc1") == "transfer/cars linear_acc1"
