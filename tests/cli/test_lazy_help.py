import argparse

import pytest
from hydra._internal.utils import get_args_parser

from amask_solo.cli.lazy_help import COMPLETION, lazy_help


class Later:
    """A help that is no text, as Hydra's about shell completion."""

    def __repr__(self) -> str:
        raise AssertionError("read too early")


def test_help_that_is_an_object_is_replaced_by_a_text():
    with lazy_help():
        action = argparse.ArgumentParser().add_argument("--shell-completion", help=Later())
    assert action.help == COMPLETION


@pytest.mark.parametrize("help_text", [None, "100%% sure", argparse.SUPPRESS])
def test_every_other_help_stays(help_text):
    with lazy_help():
        assert argparse.ArgumentParser().add_argument("--flag", help=help_text).help == help_text


def test_argparse_is_as_before_afterwards():
    before = argparse.ArgumentParser.add_argument
    with lazy_help():
        pass
    assert argparse.ArgumentParser.add_argument is before
    assert "add_argument" not in vars(argparse.ArgumentParser)


def test_hydras_parser_is_made_on_every_python():
    with lazy_help():
        assert COMPLETION in get_args_parser().format_help()
