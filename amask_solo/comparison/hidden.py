"""What is left when parts are hidden, and how far from the worst masks the run's own ones are."""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from scipy import stats

from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import grouped
from amask_solo.comparison.tables import Table, spread
from amask_solo.comparison.wording import number

GAP, ATTACKED = "attack/gap", "attack/acc1_attack"
"""The scores that say how far a run's masks are from the worst ones, and what is left under these."""

ENOUGH = 5
"""Of fewer arms, a rank correlation says nothing."""

LEFT = {
    "linear/acc1": "clean",
    "attack/acc1_random": "a random rectangle hidden",
    "robustness/acc1_outlines": "the outline of an object hidden",
    "attack/acc1_attack": "the strongest learned mask",
    "attack/acc1_worst": "the worst of all that was tried",
}
"""Score -> the condition under which accuracy is left."""

AREA_NOTE = """\
Mean over seeds, in the band from the lowest to the highest; the marks are what was measured. The worst case is what is
left, image by image, under all attackers and all rectangles that were tried, which may be fewer at some areas than at
others (see the settings of the protocols): what random rectangles cost says little about it. Greedy: the patches of
each image that its own prediction needs most."""

EXPLOITABILITY_NOTE = """\
How much further the strongest fresh attacker moves the embedding of the finished network than the run's own masks do,
on the same images and at equal area; 1: nobody finds worse masks. Mean ± standard deviation over seeds. The picture has
a point for each run."""


def attacked(records: Iterable[Record]) -> list[Record]:
    """Return the runs that have both scores of exploitability."""
    return [record for record in records if {GAP, ATTACKED} <= record.scores.keys()]


def exploitability_table(records: Iterable[Record]) -> Table:
    """Return how exploitable the masks of the attacked runs are, and what is left under the attack."""
    scores = {GAP: 2, "attack/lift_own": 3, "attack/lift": 3, ATTACKED: 1}

    def cell(runs: Sequence[Record], score: str, digits: int) -> str:
        values = [run.scores[score] for run in runs]
        return spread(fmean(values), stdev(values) if len(values) > 1 else None, digits)

    groups = grouped(attacked(records))
    rows = [[*pair, *(cell(runs, *score) for score in scores.items())] for pair, runs in groups.items()]
    return Table(["base", "arm", "exploitability", "lift, own masks", "lift, attacker", "accuracy, attacked (%)"], rows)


def exploited(records: Iterable[Record]) -> str:
    """Say of each base how exploitability and accuracy under attack go together, if enough of its arms have both.

    The arms' means are compared: runs of the same arm are no further evidence, since they differ by chance alone.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for (base, _), runs in grouped(attacked(records)).items():
        gap, left = (fmean(run.scores[score] for run in runs) for score in (GAP, ATTACKED))
        points.setdefault(base, []).append((gap, left))
    said = [
        f"{base}: {number(stats.spearmanr(arms).statistic, 2)} over {len(arms)} arms"
        for base, arms in points.items()
        if len(arms) >= ENOUGH
    ]
    if not said:
        return ""
    return f"Spearman's correlation of exploitability and accuracy under attack, of the arms' means: {'; '.join(said)}."


def hidden_parts(records: Sequence[Record]) -> str:
    """Say what accuracy is left under worse and worse occlusion; nothing if no run was attacked.

    The arms are in the order of the runs; the numbers are means over the bases and seeds that all arms have.
    """
    kinds = [kind for kind in LEFT if all(kind in record.scores for record in records)]
    found: dict[str, dict[tuple[str, int], Record]] = {}
    for record in records:
        found.setdefault(record.arm, {})[record.base, record.seed] = record
    every = {pair for runs in found.values() for pair in runs}
    pairs = [pair for pair in sorted(every) if all(pair in runs for runs in found.values())]
    if not pairs or not any(kind.startswith("attack/") for kind in kinds):
        return ""
    left = {
        arm: ", ".join(number(fmean(runs[pair].scores[kind] for pair in pairs)) for kind in kinds)
        for arm, runs in found.items()
    }
    conditions = ", ".join(LEFT[kind] for kind in kinds)
    bases = sorted({base for base, _ in pairs})
    over = f"; means over the bases {', '.join(bases)}" if len(bases) > 1 else ""
    some = "" if len(pairs) == len(every) else "; where all arms have a run: " + ", ".join(f"{b} {s}" for b, s in pairs)
    return (
        f"**What is left when parts are hidden** ({conditions}; in percent{over}{some}): "
        + "; ".join(f"`{arm}` {numbers}" for arm, numbers in left.items())
        + "."
    )
