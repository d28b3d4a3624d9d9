"""Learning rate schedules: a linear warm-up, then constant or half a cosine."""

import math
from typing import Literal

Schedule = Literal["constant", "cosine"]


def schedule_factor(progress: float, *, schedule: Schedule, warmup: float) -> float:
    """Return the factor that multiplies a learning rate.

    Args:
        progress: The share of its optimizer steps taken so far; above 1, the factor is that of the end. NaN if training
            has no set end.
        schedule: ``"constant"``, or ``"cosine"`` down to 0.
        warmup: The share of these steps over which the factor rises linearly from 0.

    Raises:
        ValueError: If training has no set end and the factor is not constant.

    Example:
        >>> [schedule_factor(p, schedule="cosine", warmup=0.1) for p in (0.05, 0.1, 1.0, 1.5)]
        [0.5, 1.0, 0.0, 0.0]
    """
    if schedule == "constant" and not warmup:
        return 1.0
    if math.isnan(progress):
        raise ValueError(
            f"Expected a training with an end for schedule={schedule} and warmup={warmup}, which are shares of it, but "
            "got none; set max_epochs or max_steps, or take schedule=constant and warmup=0."
        )
    if progress < warmup:
        return progress / warmup
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0))) / 2
