"""Run any of the commands: check the command line, let Hydra run it, and print a user's mistake as one line."""

import io
import os
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from amask_solo.cli.following import announce, follow, runs_end_first
from amask_solo.cli.jobs import own_processes
from amask_solo.cli.lazy_help import lazy_help
from amask_solo.cli.overrides import checked
from amask_solo.cli.quiet import plain_words, say
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError
from amask_solo.layout import PARTS, PREFIX

MISTAKE = 2
"""The exit code after a user's mistake; after a bug, it is 1."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in a shell."""

INDENT = 18
SHOWN = ("method", "data", *PARTS, "localiser", "augmentations", "view_filter")
SHOWN += ("trainer", "logger", "adversary", "experiment")
"""The groups of amask-pretrain, in the order of ``--help``."""


def command(config_name: str, run: Callable[[DictConfig], Any], started: Callable[[], Iterable[Path]] = tuple) -> None:
    """Call a function with the configuration that the command line makes of a primary one.

    Args:
        config_name: The primary configuration.
        run: Called with each job's configuration.
        started: Tells the folders of the runs that have been started, which end before the command does.
    """
    with session() as mistakes, runs_end_first(started):
        launch(config_name, checked(config_name, sys.argv[1:]), run, mistakes)


@contextmanager
def session() -> Iterator[list[Exception]]:
    """Print a user's mistake as one line, and exit with the code of mistakes.

    Yields a list of mistakes, to which a function that catches one adds it.
    """
    mistakes: list[Exception] = []
    # A bug is shown with its whole traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A user's own classes may be in the current folder, as with `python -m`.
    sys.path.append(os.getcwd())
    # The text of --help in a configuration file includes the list by this name.
    OmegaConf.register_new_resolver("amask_groups", list_groups, replace=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name need not be text in the encoding of the terminal.
            stream.reconfigure(errors="backslashreplace")
    announce()
    with plain_words(), signals_as_exits():
        try:
            yield mistakes
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough; Python would complain when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    """Let Hydra run a function with each configuration that a checked command line makes, by the launcher in it.

    The mistakes of jobs in this process are added to ``mistakes``.
    """

    def job(cfg: DictConfig) -> Any:
        try:
            # The job of a launcher may be in another process, so this is needed again.
            with plain_words(), signals_as_exits(), follow(), own_processes():
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
        with lazy_help():
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


def list_groups(chosen: Mapping[str, str | None], groups: Sequence[str] = SHOWN, *, _root_: DictConfig) -> str:
    """Return a text of groups with their choices; present choices, those in ``chosen``, have a star.

    If a group takes several choices, the configuration ``_root_`` has a node for each of them.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    present = {group: {chosen[group]} if group in chosen else set(_root_.get(group) or ()) for group in groups}
    return "\n".join(_group(config_folder() / group, present[group], width) for group in groups)


def _group(folder: Path, present: set[str | None], width: int) -> str:
    names = {path.stem for path in folder.glob("*.yaml")}
    # The masked version of a method is not listed; the text above the list mentions it.
    shown = {name for name in names if name.removeprefix(PREFIX) not in names or name.removeprefix(PREFIX) == name}
    chosen = {name for name in present if name in names}
    shown = shown - {name.removeprefix(PREFIX) for name in chosen} | chosen
    ordered = sorted(shown, key=lambda name: name.removeprefix(PREFIX))
    choices = ", ".join(f"{name}*" if name in chosen else name for name in ordered)
    lines = textwrap.wrap(choices, width - INDENT, break_on_hyphens=False, break_long_words=False)
    indent = " " * INDENT
    return f"  {folder.name}".ljust(INDENT) + f"\n{indent}".join(lines)
