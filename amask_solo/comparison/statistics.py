"""Means over seeds, and paired differences between arms with confidence intervals: over seeds, and over images."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
from scipy import stats

from amask_solo.comparison.alike import fingerprints
from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.records import Record
from amask_solo.evaluation.results import Right

RANDOM, ANY = "random", "any"
"""The arms whose masks hide as much as those of the others, but are not learned: of one kind, and of several."""

REFERENCES = (STOCK, RANDOM, ANY)
"""The arms that others are compared with, and each of them with those before it."""

POOLED = "all bases"
CONFIDENCE = 0.95
RESAMPLES = 2000

Interval = tuple[float, float]
"""Its ends, which are equal where all pairs differ by the same, so that nothing says how far chance goes."""


@dataclass(frozen=True)
class Difference:
    """How much higher an arm scored than its reference.

    Attributes:
        mean: Of the paired differences.
        interval: Their confidence interval; none for a single pair.
        count: Pairs of runs.
        corrected: The wider interval that counts where several are looked at; none where the difference stands alone.
        images: The interval over test images, see :func:`image_interval`; none if the runs did not keep these, or saw
            other images.
    """

    mean: float
    interval: Interval | None
    count: int
    corrected: Interval | None = None
    images: Interval | None = None

    @property
    def counts(self) -> Interval | None:
        """The interval that decides; none for a single pair, or if all pairs differ by the same."""
        known = self.interval is not None and self.interval[0] < self.interval[1]
        return (self.corrected or self.interval) if known else None


@dataclass(frozen=True)
class Row:
    """What the runs of a base and an arm scored.

    Attributes:
        base: The base method, or :data:`POOLED`.
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

    Both mappings are pair -> value; pairs that only one of them has are left out. None if there is no pair.

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
    # The same accuracies may differ by rounding.
    alike = np.ptp(differences) < 1e-9
    half = 0.0 if alike else _quantile(count, CONFIDENCE) * float(differences.std(ddof=1)) / sqrt(count)
    return Difference(mean, (mean - half, mean + half), count)


def image_interval(pairs: Sequence[tuple[Right, Right]]) -> Interval | None:
    """Return the confidence interval of a difference of accuracies over test images, by a paired bootstrap.

    Runs that were scored on the same images share their luck, which no number of seeds shows. The images are drawn
    again, with all their runs, and the middle 95 % of the mean differences are kept (percentiles).

    A pair of runs says which images each of the two classified correctly. The interval is in points; None if there is
    no pair, or not all were scored on the same number of images.

    References:
        Efron and Tibshirani, `An Introduction to the Bootstrap <https://doi.org/10.1201/9780429246593>`_, 1993.
    """
    if len({len(right) for pair in pairs for right in pair}) != 1:
        return None
    differences = 100 * np.mean([arm.astype(float) - reference for arm, reference in pairs], axis=0)
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    found = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 10_000_000 // len(differences)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare(records: Iterable[Record], metric: str) -> list[Row]:
    """Return one row a base and arm; after them, if there are several bases, one an arm that all of them have pairs of.

    Runs without the metric, ``protocol/score``, are left out. The differences of all rows to their references are the
    family that :func:`corrected` knows of.
    """
    groups = grouped(record for record in records if metric in record.scores)
    rows = []
    for (base, arm), runs in groups.items():
        values = [run.scores[metric] for run in runs]
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        rows.append(Row(base, arm, len(runs), float(np.mean(values)), std, _differences(base, arm, groups, metric)))
    return corrected(rows + (_pooled(rows, groups, metric) if len({base for base, _ in groups}) > 1 else []))


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return runs as reports show them: by base, arm and seed."""
    return sorted(records, key=lambda record: (record.base, arm_order(record.arm), record.seed))


def grouped(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return base and arm -> runs, in the order in which reports show them."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in in_order(records):
        groups.setdefault((record.base, record.arm), []).append(record)
    return groups


def corrected(rows: Sequence[Row]) -> list[Row]:
    r"""Return rows with intervals that hold for all of their differences at once.

    Bonferroni's: with :math:`k` intervals in the rows each is made as if its confidence were :math:`1 - 0.05 / k`.
    However they depend on one another, the chance that any of them leaves out the true difference is then at most
    5 %. It takes normal differences, as Student's t does.
    """
    family = sum(d.counts is not None for row in rows for d in row.differences.values())
    return [
        replace(row, differences={name: _corrected(d, family) for name, d in row.differences.items()}) for row in rows
    ]


def _corrected(difference: Difference, family: int) -> Difference:
    if difference.interval is None or difference.counts is None or family < 2:
        return difference
    wider = _quantile(difference.count, 1 - (1 - CONFIDENCE) / family) / _quantile(difference.count, CONFIDENCE)
    half = wider * (difference.interval[1] - difference.mean)
    return replace(difference, corrected=(difference.mean - half, difference.mean + half))


def _quantile(count: int, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, count - 1))


def arm_order(arm: str) -> tuple[int, str]:
    """Return what sorts arms: the references first, then by name."""
    return (len(references(arm)), arm)


def references(arm: str) -> tuple[str, ...]:
    """Return the arms that an arm is compared with.

    Example:
        >>> references("stock"), references("random"), references("learned")
        ((), ('stock',), ('stock', 'random', 'any'))
    """
    return REFERENCES[: REFERENCES.index(arm)] if arm in REFERENCES else REFERENCES


def _pooled(rows: Sequence[Row], groups: Mapping[tuple[str, str], list[Record]], metric: str) -> list[Row]:
    together: dict[tuple[str, str], list[Record]] = {}
    for (_, arm), runs in groups.items():
        together.setdefault((POOLED, arm), []).extend(runs)
    bases, pooled = len({row.base for row in rows}), []
    has = Counter((row.arm, reference) for row in rows for reference in row.differences)
    for _, arm in sorted(together, key=lambda pair: arm_order(pair[1])):
        found = _differences(POOLED, arm, together, metric)
        # What some of the bases lack is no difference of all of them.
        differences = {reference: found[reference] for reference in found if has[arm, reference] == bases}
        if differences:
            pooled.append(Row(POOLED, arm, max(d.count for d in differences.values()), differences=differences))
    return pooled


def _differences(
    base: str, arm: str, groups: Mapping[tuple[str, str], list[Record]], metric: str
) -> dict[str, Difference]:
    found = {}
    for reference in references(arm):
        runs, others = ({(r.base, r.seed): r for r in groups.get((base, name), [])} for name in (arm, reference))
        scores = ({pair: r.scores[metric] for pair, r in side.items()} for side in (runs, others))
        if difference := paired_difference(*scores):
            pairs = runs.keys() & others
            both = [(runs[pair].right.get(metric), others[pair].right.get(metric)) for pair in pairs]
            known = [(one, other) for one, other in both if one is not None and other is not None]
            # The images of a pair are matched by their places, which say nothing once the set has changed.
            same = len(fingerprints(side[pair] for side in (runs, others) for pair in pairs)) < 2
            images = image_interval(known) if same and len(known) == len(both) else None
            found[reference] = replace(difference, images=images)
    return found
