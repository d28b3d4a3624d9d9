"""Of cases that are tried alike, some are in every run of the tests, and all in the nightly one."""

from collections.abc import Iterable
from typing import Any

import pytest

DIFFERENT = {"byol", "deepclusterv2", "mocov2plus", "simclr", "swav", "wmse"}
"""Methods that are played differently from one another."""


def one_in(every: int, cases: Iterable[Any]) -> list[Any]:
    """Return parameters of a test, of which one in so many is tried daily."""
    return [_case(case, daily=number % every == 0) for number, case in enumerate(cases)]


def of_each_kind(cases: Iterable[Any]) -> list[Any]:
    """Return parameters of a test, each a method or with a method first, of which those of one kind each are daily."""
    return [_case(case, daily=(case[0] if isinstance(case, tuple) else case) in DIFFERENT) for case in cases]


def _case(case: Any, *, daily: bool) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=[] if daily else pytest.mark.nightly)
