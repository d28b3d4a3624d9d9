"""A filter on the messages that Lightning and the host log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "root",
)
"""The names of Lightning's loggers and the host's; each needs the filter, because loggers do not inherit filters."""


@contextmanager
def heard(matters: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Let only the records pass for which ``matters`` is true."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(matters)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(matters)
