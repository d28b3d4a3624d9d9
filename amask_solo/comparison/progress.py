"""How far a comparison is, read from the folders of its runs, since several processes may make them."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from amask_solo.comparison.plan import SCORES, Run
from amask_solo.layout import CONFIG

MINUTE, HOUR = 60, 3600


def progress(plan: Sequence[Run], protocols: Mapping[str, Any]) -> str:
    """Return how many runs are done and, from what these took, how long the others will take.

    Args:
        plan: All runs.
        protocols: Each protocol that is to be run, with its settings.

    Example:
        >>> progress([], {})
        '0 of 0 runs done'
    """
    done = [run for run in plan if run.trained and not run.lacks(protocols)]
    text = f"{len(done)} of {len(plan)} runs done"
    took = [max(0.0, _written(run, SCORES) - _written(run, CONFIG)) for run in done]
    if not took or len(done) == len(plan):
        return text
    at_a_time = sum((run.folder / CONFIG).is_file() for run in plan) - len(done)
    return f"{text}, about {spelled(median(took) * (len(plan) - len(done)) / max(1, at_a_time))} left"


def spelled(seconds: float) -> str:
    """Return a time to wait, roughly.

    Example:
        >>> [spelled(seconds) for seconds in (20.0, 100.0, 3000.0, 9000.0)]
        ['20 s', '2 min', '50 min', '2.5 h']
    """
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"


def _written(run: Run, name: str) -> float:
    return (run.folder / name).stat().st_mtime
