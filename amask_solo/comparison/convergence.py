"""Were the networks finished? What masks cost and what they buy shows at different times, so a report has to say.

Short runs charge for hiding and hide what it buys. Ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import grouped
from amask_solo.comparison.tables import Table
from amask_solo.comparison.wording import number
from amask_solo.curves import Curve

CLOSE = 2.0
"""An arm has converged if its kNN accuracy moves by less than so many points in the second half of training,"""

APART = 1.0
"""and if no two arms that differ by more than so many points change places in it."""

LATEST = 5 / 8
"""What was first measured after this part of the training says nothing of its second half."""


@dataclass(frozen=True)
class Convergence:
    """How much an arm still moved.

    Attributes:
        epochs: Half of the epochs, as near as accuracy was measured, and all of them.
        half: The mean accuracy over seeds at the former, in percent.
        end: The same at the end.
        seeds: How many seeds these are of: those that all arms of the base have, or its own if that is none.
        overtook: The arms that it changed places with.
    """

    base: str
    arm: str
    epochs: tuple[int, int]
    half: float
    end: float
    seeds: int
    overtook: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether it moved no more, and kept its place."""
        return abs(self.end - self.half) < CLOSE and not self.overtook


def convergence(records: Sequence[Record]) -> list[Convergence]:
    """Return how much each arm of each base moved in the second half of training, by online kNN accuracy.

    Runs whose accuracy was measured at the end only, or never, are left out: ``online_knn`` is the key.
    """
    seen = [r for r in records if r.curve and r.curve[0][0] <= LATEST * r.curve[-1][0]]
    return [row for base in sorted({r.base for r in seen}) for row in _of_base([r for r in seen if r.base == base])]


def _of_base(records: Sequence[Record]) -> list[Convergence]:
    groups = grouped(records)
    # Places are those on the same seeds; where the arms share none, there are none.
    common = set.intersection(*({run.seed for run in runs} for runs in groups.values()))
    rows = []
    for (base, arm), runs in groups.items():
        points = [_half_and_end(run.curve) for run in runs if run.seed in common or not common]
        halves, ends = zip(*points, strict=True)
        half, end = (fmean(value for _, value in part) for part in (halves, ends))
        rows.append(Convergence(base, arm, (halves[0][0], ends[0][0]), half, end, len(points)))
    others = rows if common else []
    return [replace(row, overtook=tuple(other.arm for other in others if _changed(row, other))) for row in rows]


def _half_and_end(curve: Curve) -> tuple[tuple[int, float], tuple[int, float]]:
    end = curve[-1]
    return min(curve[:-1], key=lambda point: abs(point[0] - end[0] / 2)), end


def _changed(row: Convergence, other: Convergence) -> bool:
    half, end = row.half - other.half, row.end - other.end
    return half * end < 0 and max(abs(half), abs(end)) > APART


def differences_over_epochs(records: Sequence[Record]) -> dict[str, dict[str, list[Curve]]]:
    """Return the difference to stock at each epoch that both measured: base -> arm -> one curve for each seed.

    Runs of another length than stock's are left out: at the same epoch, their schedules are at another point.
    """
    stock = {(r.base, r.seed): dict(r.curve) for r in records if r.arm == STOCK}
    found: dict[str, dict[str, list[Curve]]] = {}
    for (base, arm), runs in grouped(record for record in records if record.arm != STOCK).items():
        for run in runs:
            reference = stock.get((base, run.seed), {})
            curve = [(epoch, value - reference[epoch]) for epoch, value in run.curve if epoch in reference]
            if curve and run.curve[-1][0] == max(reference):
                found.setdefault(base, {}).setdefault(arm, []).append(curve)
    return found


def unfinished(rows: Sequence[Convergence], records: Sequence[Record]) -> str:
    """Say which networks of the runs were not finished; nothing if all were, or nobody knows."""
    left = [f"`{row.arm}` ({row.base})" for row in rows if not row.converged]
    if not left:
        return ""
    names = "all of them" if len(left) == len(grouped(records)) > 1 else ", ".join(left)
    return (
        f"**Not finished: {names}.** Short runs charge for hiding and do not show what it buys: "
        "train longer before you conclude anything."
    )


def convergence_table(rows: Sequence[Convergence]) -> Table:
    """Return the table of the report."""
    header = ["base", "arm", "seeds", "at half", "at the end", "moved by", "changed places with", "converged"]
    return Table(
        header,
        [
            [
                row.base,
                row.arm,
                str(row.seeds),
                f"{number(row.half)} (epoch {row.epochs[0]})",
                f"{number(row.end)} (epoch {row.epochs[1]})",
                number(row.end - row.half, sign=True),
                ", ".join(row.overtook) or "-",
                "yes" if row.converged else "no",
            ]
            for row in rows
        ],
    )
