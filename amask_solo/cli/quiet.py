"""Filter the messages of other packages, so that only those remain that a user can act on."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "root",
)
"""The names of Lightning's loggers and the host's; each needs the filter, because loggers do not inherit filters."""

SAID_ANYWAY = (
    r"GPU available: ",  # summary.json names the device
    r"[TH]PU available: ",
    r"GPU available but not used",  # the user said trainer=cpu
    r"Loading `train_dataloader` to estimate",
    r"`weights_only` was not set",
    r"`Trainer.fit` stopped: ",  # the epochs are in the progress bar
    r"Seed set to ",
    r"Restor(ing states|ed all states) from",  # the user said resume=true
    r"Checkpoint directory .* exists and is not empty",
    r"Be aware that when using `ckpt_path`, callbacks used",  # the user left out one that only watches
    r"\s*Detected KeyboardInterrupt",
    r"`Trainer\(limit_(train|val)_batches=",  # the user said it
    r"Using (16|bfloat16)",  # the user chose the precision
    r"-{20,}",
    r"distributed_backend=",
    r"Initializing distributed: ",
)
"""The beginnings, as regular expressions, of messages that repeat what the command or the user has said."""

NOBODYS_FAULT = (
    r".*litlogger",  # an advertisement
    r".*litmodels",
    r"`torch\.cuda\.amp\.custom_(fwd|bwd)",  # the host is written for an older torch,
    r"Importing from timm\.models\.(layers|registry|helpers) is deprecated",  # and an older timm,
    r"Overwriting \w+ in registry",  # whose models it registers a second time
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning is, too
    r"The '\w+_dataloader' does not have many workers",  # images that stay on the device need none
    r"The number of training batches \(\d+\) is smaller than the logging interval",  # the row of an epoch is there
    r"It is recommended to use `self\.log\('(val_knn_acc1|lr'|adversary/)",  # equal on all processes already
    r"You're resuming from a checkpoint that ended before the epoch ended",  # the order follows from seed and epoch
    r"Be aware that when using `ckpt_path`, callbacks used to create",  # a run of an earlier version had others
    r"Total length of `list` across ranks is zero",  # images without labels have none to validate on
    r"The parameter 'pretrained' is deprecated since 0\.13",  # the host gives it to torchvision
    r"Arguments other than a weight enum or `None` for 'weights' are deprecated since 0\.13",
    r"Using scheduler_interval=step might generate issues",  # not here: a run resumes within an epoch, too
    r"(Using|No) custom backbone (found )?for ",  # the host's choice of a ViT's details
    r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`",  # 16-mixed skips its first steps
)
"""The beginnings of warnings that only a change of the host or a library could avoid."""

NOISE = re.compile("|".join((*SAID_ANYWAY, *NOBODYS_FAULT)))


@contextmanager
def plain_words() -> Iterator[None]:
    """Hide noise, and print each warning as one line without its place in the code."""

    def matters(record: logging.LogRecord) -> bool:  # a function for each context, since these may be nested
        return not NOISE.match(record.getMessage())

    nowhere, loggers = logging.NullHandler(), [logging.getLogger(name) for name in LOGGERS]
    # Hydra logs its errors before it raises them, but one line about them suffices.
    logging.getLogger("hydra").addHandler(nowhere)
    for logger in loggers:
        logger.addFilter(matters)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(matters)
        logging.getLogger("hydra").removeHandler(nowhere)


def say(kind: str, message: object, *, style: str) -> None:
    """Print a message to standard error as one line."""
    line = f"{kind}: {' '.join(str(message).split())}"
    Console(stderr=True).print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _show(message: Warning | str, *args: object, **kwargs: object) -> None:
    del args, kwargs
    # `filterwarnings` would not do, because packages insert filters before ours while they are imported.
    if not NOISE.match(str(message)):
        say("Warning", message, style="yellow")
