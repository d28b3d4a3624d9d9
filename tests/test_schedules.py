"""The course of a learning rate."""

import math

import pytest

from amask_solo.schedules import schedule_factor


def test_the_factor_rises_to_1_and_then_falls_to_0_or_stays():
    shares = (0.0, 0.1, 0.2, 0.6, 1.0)
    assert [schedule_factor(p, schedule="cosine", warmup=0.2) for p in shares] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [schedule_factor(p, schedule="constant", warmup=0.2) for p in shares] == pytest.approx([0, 0.5, 1, 1, 1])


@pytest.mark.parametrize(("schedule", "warmup"), [("cosine", 0.0), ("constant", 0.1)])
def test_a_training_without_an_end_has_no_share(schedule, warmup):
    assert schedule_factor(math.nan, schedule="constant", warmup=0.0) == 1
    with pytest.raises(ValueError, match="set max_epochs or max_steps"):
        schedule_factor(math.nan, schedule=schedule, warmup=warmup)
