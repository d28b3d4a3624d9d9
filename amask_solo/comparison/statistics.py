"""Means over seeds, and paired differences between arms with confidence intervals, also for all of them at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
from scipy import stats

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.records import Record

RANDOM = "random"
"""The arm whose masks hide as much as those of the others, but are not learned."""

REFERENCES = (STOCK, RANDOM)
POOLED = "all bases"
CONFIDENCE = 0.95


Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """How much higher an arm scored than its reference.

    Attributes:
        mean: Of the paired differences.
        interval: Their confidence interval; none for a single pair.
        count: Pairs of runs.
        corrected: The wider interval that counts where several are looked at; none where the difference stands alone.
    """

    mean: float
    interval: Interval | None
    count: int
    corrected: Interval | None = None

    @property
    def counts(self) -> Interval | None:
        """The interval that decides."""
        return self.corrected or self.interval


@dataclass(frozen=True)
class Row:
    """What the runs of a base and an arm scored.

    Attributes:
        base: The base method, or :data:`POOLED`.
        arm: How it was masked.
        count: Runs; pairs where the bases are pooled.
        mean: Over seeds; none where the bases are pooled.
        std: With one degree of freedom less; none for a single run.
        differences: Reference -> difference to it; those with at least one pair.
    """

    base: str
    arm: str
    count: int
    mean: float | None = None
    std: float | None = None
    differences: dict[str, Difference] = field(default_factory=dict)


def paired_difference(values: Mapping, reference: Mapping) -> Difference | None:
    r"""Return the mean difference of the pairs, with Student's t interval.

    With :math:`d_i` the :math:`n` differences and :math:`s` their standard deviation, the interval is
    :math:`\bar d \pm t_{0.975,\,n-1}\, s / \sqrt n`.

    Args:
        values: Pair -> value.
        reference: The same of what it is compared with; pairs that only one of them has are left out.

    Returns:
        None if there is no pair.

    Example:
        >>> paired_difference({0: 3.0, 1: 5.0, 2: 9.0}, {0: 1.0, 1: 3.0}).mean
        2.0
    """
    pairs = sorted(values.keys() & reference.keys())
    if not pairs:
        return None
    differences = np.array([values[pair] - reference[pair] for pair in pairs], dtype=np.float64)
    mean, count = float(differences.mean()), len(differences)
    if count == 1:
        return Difference(mean, None, count)
    half = _quantile(count, CONFIDENCE) * float(differences.std(ddof=1)) / sqrt(count)
    return Difference(mean, (mean - half, mean + half), count)


def compare(records: Iterable[Record], metric: str) -> list[Row]:
    """Return one row a base and arm; after them, if there are several bases, one an arm over all of them.

    Args:
        records: Runs in any order; those without the metric are left out.
        metric: ``protocol/score``.

    Returns:
        Rows whose differences to stock and to random masks, together, are the family that :func:`corrected` knows of.
    """
    values: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for record in records:
        if metric in record.scores:
            pairs = values.setdefault((record.base, record.arm), {})
            pairs[record.base, record.seed] = record.scores[metric]
    rows = [
        _row(base, arm, list(values[base, arm].values()), _differences(base, arm, values))
        for base, arm in sorted(values, key=lambda pair: (pair[0], arm_order(pair[1])))
    ]
    return corrected(rows + (_pooled(values) if len({base for base, _ in values}) > 1 else []))


def corrected(rows: Sequence[Row]) -> list[Row]:
    r"""Return rows with intervals that hold for all of their differences at once.

    Bonferroni's: with :math:`k` intervals in the rows each is made as if its confidence were :math:`1 - 0.05 / k`.
    However they depend on one another, the chance that any of them leaves out the true difference is then at most
    5 %. It takes normal differences, as Student's t does.

    Args:
        rows: Of one metric: its bases, and all of them together.
    """
    family = sum(d.interval is not None for row in rows for d in row.differences.values())
    return [
        replace(row, differences={name: _corrected(d, family) for name, d in row.differences.items()}) for row in rows
    ]


def _corrected(difference: Difference, family: int) -> Difference:
    if difference.interval is None or family < 2:
        return difference
    wider = _quantile(difference.count, 1 - (1 - CONFIDENCE) / family) / _quantile(difference.count, CONFIDENCE)
    half = wider * (difference.interval[1] - difference.mean)
    return replace(difference, corrected=(difference.mean - half, difference.mean + half))


def _quantile(count: int, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, count - 1))


def arm_order(arm: str) -> tuple[int, str]:
    """Return what sorts arms: stock and random masks first, then by name."""
    return (REFERENCES.index(arm) if arm in REFERENCES else len(REFERENCES), arm)


def _row(base: str, arm: str, values: list[float], differences: dict[str, Difference]) -> Row:
    values = sorted(values)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Row(base, arm, len(values), float(np.mean(values)), std, differences)


def _pooled(values: Mapping[tuple[str, str], dict]) -> list[Row]:
    together: dict[tuple[str, str], dict] = {}
    for (_, arm), pairs in values.items():
        together.setdefault((POOLED, arm), {}).update(pairs)
    rows = []
    for _, arm in sorted(together, key=lambda pair: arm_order(pair[1])):
        differences = _differences(POOLED, arm, together)
        if differences:
            rows.append(Row(POOLED, arm, max(d.count for d in differences.values()), differences=differences))
    return rows


def _differences(base: str, arm: str, values: Mapping[tuple[str, str], dict]) -> dict[str, Difference]:
    """Return the differences to stock and, except for stock, to random masks."""
    found = {
        reference: paired_difference(values[base, arm], values.get((base, reference), {}))
        for reference in REFERENCES
        if arm not in (STOCK, reference)
    }
    return {reference: difference for reference, difference in found.items() if difference}
