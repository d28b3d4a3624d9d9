"""Noise is left out, and what is meant for the user is one plain line."""

import logging
import warnings

import pytest

from amask_solo.cli.quiet import LOGGERS, plain_words, say

NOISY = [
    "`isinstance(treespec, LeafSpec)` is deprecated, use something else",
    "The number of training batches (4) is smaller than the logging interval Trainer(log_every_n_steps=10).",
    "Importing from timm.models.layers is deprecated, please import via timm.layers",
    "Overwriting vit_tiny in registry with solo.backbones.vit.",
]


def test_a_warning_is_one_line_without_its_place(capsys):
    with plain_words():
        warnings.simplefilter("always")
        warnings.warn("All images get\nthe same masks.", stacklevel=1)
    assert capsys.readouterr().err == "Warning: All images get the same masks.\n"


@pytest.mark.parametrize("message", NOISY)
@pytest.mark.parametrize("category", [UserWarning, FutureWarning])
def test_a_warning_that_nobody_can_act_on_is_left_out(message, category, capsys):
    with plain_words():
        warnings.simplefilter("always")
        warnings.warn(message, category, stacklevel=1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", LOGGERS)
def test_what_lightning_says_to_a_log_is_kept_unless_it_is_noise(name, caplog):
    logger = logging.getLogger(name)
    logger.addHandler(caplog.handler)  # Lightning's loggers do not tell the root
    with plain_words(), caplog.at_level(logging.INFO, logger=name):
        logger.info("GPU available: False, used: False")
        logger.info("`Trainer(limit_train_batches=1)` was configured so 1 batch per epoch will be used.")
        logger.warning("Using scheduler_interval=step might generate issues when resuming a checkpoint.")
        logger.info("Interrupted; continue with resume=true from last.ckpt.")
    logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {
        "Interrupted; continue with resume=true from last.ckpt."
    }


def test_afterwards_everything_is_as_before():
    show, filters = warnings.showwarning, list(logging.getLogger(LOGGERS[0]).filters)
    with plain_words():
        assert warnings.showwarning is not show
    assert warnings.showwarning is show
    assert logging.getLogger(LOGGERS[0]).filters == filters


def test_a_message_is_not_taken_for_markup(capsys):
    say("Error", "[red]a[/] b", style="red")
    assert capsys.readouterr().err == "Error: [red]a[/] b\n"
