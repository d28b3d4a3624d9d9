"""Words that follow the numbers."""

from collections.abc import Iterable, Sequence
from math import isfinite

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.scores import PERCENT, Scale, metric_name, scale
from amask_solo.comparison.statistics import ANY, POOLED, RANDOM, Difference, Interval, Row, references

FINEST = 6
"""Numbers that are the same to so many digits are the same: they differ by rounding."""

FEW = 200
"""Of fewer images, a single one is more than half a point."""

QUESTIONS = {
    STOCK: "Does masking help?",
    RANDOM: "Does it help more than random masks?",
    ANY: "More than random masks of several kinds?",
}
"""Reference -> what the difference to it answers."""


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


def interval(ends: Interval | None, digits: int = 1) -> str:
    """Return an interval as the report prints it; nothing if there is none.

    Example:
        >>> interval((-1.2, 1.8)), interval((-0.01, 0.02), 2), interval((0.0, 0.0)), interval(None)
        ('[-1.2, 1.8]', '[-0.01, 0.02]', 'all alike', '')
    """
    if ends is None:
        return ""
    return f"[{number(ends[0], digits)}, {number(ends[1], digits)}]" if _apart(ends, digits) else "all alike"


def digits(difference: Difference, scale: Scale = PERCENT) -> int:
    """Return how many digits a difference and its intervals have: as many as tell their ends apart, or it from zero.

    Example:
        >>> digits(Difference(0.3, (-1.2, 1.8), 3)), digits(Difference(0.02, (-0.02, 0.04), 3))
        (1, 2)
    """
    decides = difference.interval if difference.counts else (0.0, difference.mean)
    kinds = [ends for ends in (decides, difference.images) if ends and _apart(ends, FINEST)]
    return next(n for n in range(scale.digits, FINEST + 1) if all(_apart(ends, n) for ends in kinds))


def _apart(ends: Interval, digits: int) -> bool:
    return round(ends[0], digits) != round(ends[1], digits)


def verdict(difference: Difference | None, *, unit: str = "seed", scale: Scale = PERCENT) -> str:
    """Say what a difference shows, and no more.

    The corrected interval decides, where there is one, by the digits that are printed: one that ends at 0.0 covers zero
    for every reader.

    Args:
        difference: None if no two runs make a pair.
        unit: What is counted.
        scale: That of the score.

    Example:
        >>> verdict(Difference(0.3, (-1.2, 1.8), 3))
        'no difference seen: +0.3 points, 95 % interval [-1.2, 1.8], 3 seeds'
        >>> verdict(Difference(-2.0, (-3.0, -1.0), 2))
        'lower by 2.0 points, 95 % interval [-3.0, -1.0], 2 seeds'
        >>> verdict(Difference(-2.0, (-3.0, -1.0), 2, corrected=(-5.0, 1.0)))
        'no difference seen: -2.0 points, 95 % interval [-3.0, -1.0], corrected [-5.0, 1.0], 2 seeds'
        >>> verdict(Difference(2.0, (1.0, 3.0), 2, images=(-4.0, 8.0)))
        'higher by 2.0 points on these images, 95 % interval [1.0, 3.0], over images [-4.0, 8.0], 2 seeds'
        >>> verdict(Difference(0.0, (0.0, 0.0), 3))
        'no difference seen: identical scores in 3 seeds, no interval'
        >>> verdict(Difference(5.0, (5.0, 5.0), 3))
        'too few images to say: 5.0 points above in each of 3 seeds, no interval'
        >>> verdict(Difference(0.04, (0.012, 0.068), 3), scale=Scale(percent=False))
        'higher by 0.040, 95 % interval [0.012, 0.068], 3 seeds'
    """
    if difference is None:
        return "no two runs with the same seed"
    shown = digits(difference, scale)
    mean = round(difference.mean, shown)
    how_far = f"{number(abs(mean), shown)}{scale.points} {('above' if mean > 0 else 'below') if mean else 'apart'}"
    if difference.count == 1:
        return f"one {unit}: {how_far}, no interval"
    if difference.counts is None or not _apart(difference.counts, shown):
        if not _apart((0.0, difference.mean), FINEST):
            return f"no difference seen: identical scores in {difference.count} {unit}s, no interval"
        return f"too few images to say: {how_far} in each of {difference.count} {unit}s, no interval"
    if _covers_zero(difference.counts, shown):
        start = f"no difference seen: {number(mean, shown, sign=True)}{scale.points}"
    else:
        start = f"{'higher' if mean > 0 else 'lower'} by {number(abs(mean), shown)}{scale.points}"
        start += " on these images" if difference.images and _covers_zero(difference.images, shown) else ""
    kinds = {"95 % interval": difference.interval, "corrected": difference.corrected, "over images": difference.images}
    said = ", ".join(f"{kind} {interval(ends, shown)}" for kind, ends in kinds.items() if ends)
    return f"{start}, {said}, {difference.count} {unit}s"


def _covers_zero(ends: Interval, digits: int) -> bool:
    return round(ends[0], digits) <= 0 <= round(ends[1], digits)


def sentences(rows: Iterable[Row], reference: str, scale: Scale = PERCENT) -> list[str]:
    """Return one sentence for each row that can be compared with a reference."""
    said = []
    for row in rows:
        # A pooled row lacks what some of the bases lack.
        if reference in (row.differences if row.base == POOLED else references(row.arm)):
            unit = "pair" if row.base == POOLED else "seed"
            shown = verdict(row.differences.get(reference), unit=unit, scale=scale)
            said.append(f"`{row.arm}` against `{reference}`: {shown}.")
    return said


def answer(rows: Sequence[Row], metric: str) -> str:
    """Return the report's answer by one metric: a paragraph, and a list of what each base says if there are several."""
    bases = list(dict.fromkeys(row.base for row in rows))
    if not bases:
        return "No run is finished, so there is no answer yet."
    of_score = scale(metric)
    said = {base: _said(rows, base, of_score) for base in bases}
    name = metric_name(metric) + (f" ({of_score.said})" if of_score.said else "")
    if not any(said.values()):
        return f"No arm can be compared by {name} yet."
    text = f"By {name}, no arm can be compared over all bases."
    if len(bases) == 1 or POOLED in said:
        # Pooled rows come last and say most; a single base has said it all.
        base, answers = said.popitem()
        questions = (f"**{QUESTIONS[reference]}** {text}" for reference, text in answers.items())
        text = f"By {name}, {base}. {' '.join(questions)}{_weights(rows)}"
    by_base = [f"- {base}: {' '.join(texts.values()) or 'nothing to compare.'}" for base, texts in said.items()]
    return "\n\n".join([text, *(["\n".join(by_base)] if by_base else [])])


def _weights(rows: Sequence[Row]) -> str:
    """Say by how many pairs each base counts, if they are not the same ones; nothing if they are."""
    pairs: dict[str, int] = {}
    for row in (row for row in rows if row.base != POOLED):
        most = max((difference.count for difference in row.differences.values()), default=0)
        pairs[row.base] = max(pairs.get(row.base, 0), most)
    if len({*pairs.values()}) < 2:
        return ""
    said = ", ".join(f"{base} {count}" for base, count in pairs.items())
    return f" The bases count by their pairs, up to so many an arm: {said}."


def caution(tables: Iterable[Sequence[Row]]) -> str:
    """Say once what the words do not mean, and for how many differences they hold; nothing if nothing is compared."""
    families = [[d for row in rows for d in row.differences.values()] for rows in tables]
    text = '"No difference seen" means that these runs cannot tell, not that there is none.' if any(families) else ""
    count = max((sum(d.counts is not None for d in family) for family in families), default=0)
    if count < 2:
        return text
    text += (
        f" The words follow the corrected intervals, which are wider (Bonferroni): of all those of one metric, up to "
        f"{count} here, the chance that any leaves out the true difference is at most 5 %."
    )
    others = " Metrics are not corrected for one another: the first gives the answer; choose it before the runs."
    return text + (others if len(families) > 1 else "")


def over_images(tables: Iterable[Sequence[Row]], count: int | None) -> str:
    """Say what the intervals over seeds leave out, and how much one of ``count`` images weighs.

    Nothing if nothing is compared; the second part only if all runs have as many images.
    """
    differences = [d for rows in tables for row in rows for d in row.differences.values()]
    if not differences:
        return ""
    text = "**Intervals over seeds do not cover the choice of the images.** "
    if any(d.images for d in differences):
        text += "Those over images do (a paired bootstrap), for the images of this set and runs like these."
    else:
        text += "Other images could give other differences, by more than the intervals say."
    if count and count < FEW:
        text += f" There are few images: one of {count} is {number(100 / count)} points of accuracy."
    return text


def _said(rows: Iterable[Row], base: str, scale: Scale) -> dict[str, str]:
    """Return what there is to say of a base: reference -> sentences."""
    rows = [row for row in rows if row.base == base]
    known = {row.arm for row in rows} | {reference for row in rows for reference in row.differences}
    said = {reference: " ".join(sentences(rows, reference, scale)) for reference in QUESTIONS if reference in known}
    return {reference: text for reference, text in said.items() if text}
