"""Run any of the commands: check the command line, let Hydra run it, and print a user's mistake as one line."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from amask_solo.cli.following import announce, follow
from amask_solo.cli.help import register_help
from amask_solo.cli.overrides import checked
from amask_solo.cli.quiet import plain_words, say
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError

MISTAKE = 2
"""The exit code after a user's mistake; after a bug, it is 1."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in a shell."""


def command(config_name: str, run: Callable[[DictConfig], Any]) -> None:
    """Run a command.

    Args:
        config_name: The primary configuration in the folder of configuration files.
        run: Called with the composed configuration.
    """
    with session() as mistakes:
        launch(config_name, checked(config_name, sys.argv[1:]), run, mistakes)


@contextmanager
def session() -> Iterator[list[Exception]]:
    """Print a user's mistake as one line, and exit with the code of mistakes.

    Yields:
        A list of mistakes, to which a function that catches one adds it.
    """
    mistakes: list[Exception] = []
    # A bug is shown with its whole traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A user's own classes may be in the current folder, as with `python -m`.
    sys.path.append(os.getcwd())
    register_help()
    announce()
    with plain_words(), signals_as_exits():
        try:
            yield mistakes
        except (UserError, HydraException) as error:
            mistakes.append(error)
            say("Error", error, style="red")
        except KeyboardInterrupt:
            # This is before or after training, which handles interruptions itself.
            sys.exit(INTERRUPTED)
    if mistakes:
        sys.exit(MISTAKE)


@contextmanager
def signals_as_exits() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process by ``SystemExit``, so that what is open is closed and cleared away."""

    def end(number: int, _: Any) -> None:
        sys.exit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def launch(
    config_name: str, arguments: Sequence[str], run: Callable[[DictConfig], Any], mistakes: list[Exception]
) -> None:
    """Let Hydra run a function, with the launcher that the arguments name.

    Args:
        config_name: The primary configuration.
        arguments: The checked command line.
        run: Called with each composed configuration.
        mistakes: A list that gets the mistakes of jobs in this process.
    """

    def job(cfg: DictConfig) -> Any:
        try:
            # The job of a launcher may be in another process, so this is needed again.
            with plain_words(), signals_as_exits(), follow():
                return run(_resolvable(cfg))
        except UserError as error:
            say("Error", error, style="red")
            if os.getpid() != home:
                raise  # Hydra takes it to the process of the command
            # If it reached Hydra here, that would end a sweep.
            mistakes.append(error)
            return None

    home = os.getpid()
    sys.argv[1:] = arguments
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(job)()
    except UserError as error:
        mistakes.append(error)
        say("Error", error, style="red")


def _resolvable(cfg: DictConfig) -> DictConfig:
    try:
        OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}.") from error
    return cfg
