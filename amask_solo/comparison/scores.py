"""What a score is called, and how its values are printed: in percent or not, and which way is better.

All of it is what its protocol declares.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from amask_solo.configuration import read_target
from amask_solo.signatures import read_declared

PROTOCOL = "amask_solo.evaluation.Protocol"
"""Has the words that all share."""


@dataclass(frozen=True)
class Scale:
    """How the values of a score are printed.

    Attributes:
        percent: Whether they are percentages, whose differences are points.
        lower: Whether less is better.
    """

    percent: bool = True
    lower: bool = False

    @property
    def digits(self) -> int:
        """How many digits they have at least."""
        return 1 if self.percent else 3

    @property
    def points(self) -> str:
        """What follows a difference."""
        return " points" if self.percent else ""

    @property
    def unit(self) -> str:
        """What follows the name of the score at an axis."""
        return " (%)" if self.percent else ""

    @property
    def said(self) -> str:
        """Return what a reader has to know, unless they are percentages of which more is better."""
        said = [
            text for text, holds in (("not in percent", not self.percent), ("lower is better", self.lower)) if holds
        ]
        return "; ".join(said)


PERCENT = Scale()


def scale(metric: str) -> Scale:
    """Return how the values of a metric, ``protocol/score``, are printed.

    Example:
        >>> scale("linear/acc1"), scale("attack/lift_area0.1")
        (Scale(percent=True, lower=False), Scale(percent=False, lower=True))
    """
    protocol, _, score = metric.rpartition("/")
    plain, lower = (
        any(fnmatchcase(score, pattern) for pattern in _declared(protocol, name) or ())
        for name in ("no_percent", "lower_is_better")
    )
    return Scale(percent=not plain, lower=lower)


def metric_name(metric: str) -> str:
    """Return the name of a metric, in the words that its protocol declares.

    Example:
        >>> metric_name("linear/acc1"), metric_name("clustering/nmi")
        ('linear accuracy', 'clustering NMI')
    """
    protocol, _, score = metric.rpartition("/")
    words = read_declared(PROTOCOL, "words") | (_declared(protocol, "words") or {})
    return f"{words.get(protocol, protocol)} {words.get(score, score)}".strip()


def _declared(protocol: str, name: str) -> Any:
    # On other data than the run's own, it is the same protocol.
    target = read_target("protocol", protocol.partition("@")[0])
    return read_declared(target, name) if target else None
