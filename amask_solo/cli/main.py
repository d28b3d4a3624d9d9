"""What all commands share: check the command line, run, and print a user's mistake as one line."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from amask_solo.cli.help import register_help
from amask_solo.cli.overrides import checked
from amask_solo.cli.quiet import plain_words, say
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError

MISTAKE = 2
"""The exit code after a user's mistake; that of a bug is 1."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in a shell."""


def command(config_name: str, run: Callable[[DictConfig], Any]) -> None:
    """Run a command with the configuration that the command line asks for.

    Args:
        config_name: The primary configuration, which lies in the folder of configuration files.
        run: What to do with it.
    """
    with session() as mistakes:
        launch(config_name, checked(config_name, sys.argv[1:]), run, mistakes)


@contextmanager
def session() -> Iterator[list[Exception]]:
    """Print a user's mistake as one line, and end with the exit code that belongs to it.

    Yields:
        The mistakes made in it; who catches one adds it.
    """
    mistakes: list[Exception] = []
    # A bug is shown with its whole traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A user's own classes are looked for where the command is called, as `python -m` does.
    sys.path.append(os.getcwd())
    register_help()
    with plain_words():
        try:
            yield mistakes
        except (UserError, HydraException) as error:
            mistakes.append(error)
            say("Error", error, style="red")
        except KeyboardInterrupt:
            # Before or after training, which ends by itself.
            sys.exit(INTERRUPTED)
    if mistakes:
        sys.exit(MISTAKE)


def launch(
    config_name: str, arguments: Sequence[str], run: Callable[[DictConfig], Any], mistakes: list[Exception]
) -> None:
    """Let Hydra run a function, by whichever launcher the arguments name.

    Args:
        config_name: The primary configuration.
        arguments: The checked command line.
        run: What to do with each configuration.
        mistakes: Where those of a job are put, if it runs in this process.
    """

    def job(cfg: DictConfig) -> Any:
        # Hydra would print more lines about an error that reaches it, and end a sweep.
        try:
            # Again: the job of a launcher may be in another process.
            with plain_words():
                return run(_resolvable(cfg))
        except UserError as error:
            mistakes.append(error)
            say("Error", error, style="red")
            return None

    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()


def _resolvable(cfg: DictConfig) -> DictConfig:
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}.") from error
    return cfg
