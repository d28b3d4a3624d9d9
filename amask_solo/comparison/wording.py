"""Words that follow the numbers."""

from collections.abc import Iterable, Sequence
from math import isfinite

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.statistics import POOLED, RANDOM, Difference, Row

QUESTIONS = {STOCK: "Does masking help?", RANDOM: "Does it help that an adversary places the masks?"}
"""Reference -> what the difference to it answers."""

NAMES = {"acc1": "accuracy", "acc5": "top-5 accuracy", "knn": "kNN", "nmi": "NMI", "ari": "ARI", "fmi": "FMI"}
NAMES |= {"acc1_curve": "accuracy while ever more is hidden", "acc1_attack": "accuracy under the strongest mask"}
NAMES |= {"mean_linear_acc1": "linear accuracy, mean over folders"}


def number(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Return a number as the report prints it.

    Example:
        >>> number(41.25), number(1.26, sign=True), number(-0.01, sign=True), number(None)
        ('41.2', '+1.3', '0.0', '-')
    """
    if value is None or not isfinite(value):
        return "-"
    shown = round(value, digits) + 0.0  # turns -0.0 to 0.0
    return f"{shown:+,.{digits}f}" if sign and shown else f"{shown:,.{digits}f}"


def intervals(difference: Difference) -> list[str]:
    """Return the confidence interval and the corrected one, as the report prints them; those that there are.

    Example:
        >>> intervals(Difference(0.3, (-1.2, 1.8), 3, corrected=(-4.0, 4.6)))
        ['[-1.2, 1.8]', '[-4.0, 4.6]']
    """
    return [f"[{number(ends[0])}, {number(ends[1])}]" for ends in (difference.interval, difference.corrected) if ends]


def metric_name(metric: str) -> str:
    """Return the name of a metric.

    Example:
        >>> metric_name("linear/acc1"), metric_name("clustering/nmi")
        ('linear accuracy', 'clustering NMI')
    """
    protocol, _, score = metric.rpartition("/")
    return f"{NAMES.get(protocol, protocol)} {NAMES.get(score, score)}".strip()


def verdict(difference: Difference | None, *, unit: str = "seed") -> str:
    """Say what a difference shows, and no more.

    The corrected interval decides, where there is one, by the digits that are printed: one that ends at 0.0 covers zero
    for every reader.

    Args:
        difference: In points; None if no two runs make a pair.
        unit: What is counted.

    Example:
        >>> verdict(Difference(0.3, (-1.2, 1.8), 3))
        'no difference seen: +0.3 points, 95 % interval [-1.2, 1.8], 3 seeds'
        >>> verdict(Difference(-2.0, (-3.0, -1.0), 2))
        'lower by 2.0 points, 95 % interval [-3.0, -1.0], 2 seeds'
        >>> verdict(Difference(-2.0, (-3.0, -1.0), 2, corrected=(-5.0, 1.0)))
        'no difference seen: -2.0 points, 95 % interval [-3.0, -1.0], corrected [-5.0, 1.0], 2 seeds'
    """
    if difference is None:
        return "no two runs with the same seed"
    mean = round(difference.mean, 1)
    if difference.counts is None:
        where = "above" if mean > 0 else "below"
        how_far = f"{number(abs(mean))} points {where if mean else 'apart'}"
        return f"one {unit}: {how_far}, no interval"
    low, high = (round(end, 1) for end in difference.counts)
    if low <= 0 <= high:
        start = f"no difference seen: {number(mean, sign=True)} points"
    else:
        start = f"{'higher' if low > 0 else 'lower'} by {number(abs(mean))} points"
    return f"{start}, 95 % interval {', corrected '.join(intervals(difference))}, {difference.count} {unit}s"


def sentences(rows: Iterable[Row], reference: str) -> list[str]:
    """Return one sentence for each row that can be compared with a reference."""
    return [
        f"`{row.arm}` against `{reference}`: {verdict(row.differences.get(reference), unit=_unit(row))}."
        for row in rows
        if row.arm not in (STOCK, reference)
    ]


def answer(rows: Sequence[Row], metric: str) -> str:
    """Return the report's answer: a paragraph, and a list of what each base says if there are several.

    Args:
        rows: Of one metric.
        metric: Its ``protocol/score``.
    """
    bases = list(dict.fromkeys(row.base for row in rows))
    if not bases:
        return "No run is finished, so there is no answer yet."
    # Pooled rows come last and say most.
    said = _said(rows, bases[-1])
    if not said:
        return f"No arm can be compared by {metric_name(metric)} yet."
    questions = " ".join(f"**{QUESTIONS[reference]}** {text}" for reference, text in said.items())
    text = f"By {metric_name(metric)}, {bases[-1]}. {questions}"
    # A single base has said it all.
    by_base = [f"- {base}: {' '.join(_said(rows, base).values()) or 'nothing to compare.'}" for base in bases[:-1]]
    return "\n\n".join([text, *(["\n".join(by_base)] if by_base else [])])


def caution(tables: Iterable[Sequence[Row]]) -> str:
    """Say once what the words do not mean, and for how many differences they hold; nothing if nothing is compared.

    Args:
        tables: All rows of the report, metric by metric.
    """
    families = [[d for row in rows for d in row.differences.values()] for rows in tables]
    text = '"No difference seen" means that these runs cannot tell, not that there is none.' if any(families) else ""
    count = max((sum(d.interval is not None for d in family) for family in families), default=0)
    if count < 2:
        return text
    text += (
        f" The words follow the corrected intervals, which are wider (Bonferroni): of all those of one metric, up to "
        f"{count} here, the chance that any leaves out the true difference is at most 5 %."
    )
    others = " Metrics are not corrected for one another: the first, chosen before the runs, gives the answer."
    return text + (others if len(families) > 1 else "")


def _said(rows: Iterable[Row], base: str) -> dict[str, str]:
    """Return what there is to say of a base: reference -> sentences."""
    rows = [row for row in rows if row.base == base]
    known = {row.arm for row in rows} | {reference for row in rows for reference in row.differences}
    said = {reference: " ".join(sentences(rows, reference)) for reference in QUESTIONS if reference in known}
    return {reference: text for reference, text in said.items() if text}


def _unit(row: Row) -> str:
    return "pair" if row.base == POOLED else "seed"
