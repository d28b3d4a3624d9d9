"""The loggers through which Lightning talks, and a way to leave out some of what it says."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
)
"""Their names; a filter works on the very logger that is called."""


@contextmanager
def heard(matters: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Let through only the records that matter."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(matters)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(matters)
