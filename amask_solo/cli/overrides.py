"""Check the command line before Hydra sees it.

A configuration file only has the values that differ from the defaults of a constructor, so Hydra does not know all keys
and would require a ``+``. Here every key is looked up in the composed configuration and among the arguments of its
target. The error about an unknown key names the nearest known one.
"""

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf

from amask_solo import __version__
from amask_solo.cli.composed import composed
from amask_solo.cli.lazy_help import lazy_help
from amask_solo.cli.literal import literal, quoted
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError, one_line, unknown_key
from amask_solo.layout import PARTS
from amask_solo.settings.keys import check_key

HYDRA_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir")
INNER = "localiser"
"""A group whose choice is an argument of the choice of another group, which defines its place."""

PLACES = {"pretrain": "run_folder=...", "evaluate": "output=...", "export": "path=...", "compare": "folder=..."}
"""Command -> the key that sets the place of its files."""


def checked(config_name: str, argv: Sequence[str]) -> list[str]:
    """Check a command line, without the name of the program, and return it in a form that Hydra accepts.

    Returns:
        The overrides, with a ``++`` before the keys of values, and then the flags.

    Raises:
        UserError: If an override cannot be read, or a key or the name of a group's file is unknown; the message names
            the nearest known one.
    """
    flags = read_flags(argv)
    if flags.shell_completion:
        return list(argv)
    several = flags.multirun or any(text.lower() == "hydra.mode=multirun" for text in flags.overrides)
    overrides = [_parsed(literal(text, several=several)) for text in flags.overrides]
    _refuse_folders(config_name, overrides)
    swept = [o.key_or_group for o in overrides if o.is_sweep_override()]
    if swept and not several:
        raise UserError(f"Several values for {swept[0]}: one run for each needs the flag -m; a list needs brackets.")
    folders = _folders(flags.config_dir, overrides)
    overrides = _placed(overrides, flags.config_name or config_name, folders)
    replaced: set[str] = set()
    files = [o for o in overrides if o.is_hydra_override() or _names_a_file(o, folders)]
    values = [o for o in overrides if o not in files and not o.is_delete()]
    _refuse_no_names(files)
    for chosen in _one_by_one(files, folders) if overrides else ():
        cfg = _compose(flags.config_name or config_name, tuple(chosen), tuple(folders[1:]))
        for override in values:
            for key, value in _entries(override.key_or_group, override.value()):
                check_key(key, cfg, given=values)
                if isinstance(value, dict | list) and OmegaConf.is_dict(OmegaConf.select(cfg, key)):
                    replaced.add(key)
    rest = list(argv)
    for text in flags.overrides:
        rest.remove(text)
    # Without this, Hydra would merge the arguments of the old target into those of the new one.
    emptied = [f"++{key}=null" for key in sorted(replaced)]
    return (
        emptied + [f"++{str(o.input_line).lstrip('+')}" if o in values else str(o.input_line) for o in overrides] + rest
    )


def _refuse_folders(config_name: str, overrides: Sequence[Override]) -> None:
    """Refuse the keys of Hydra's own folders, because each command has its own key for the place of its files."""
    if int(os.environ.get("LOCAL_RANK", "0")):
        return  # Lightning sets these keys for the processes that it starts
    for override in overrides:
        if override.key_or_group in HYDRA_FOLDERS:
            raise UserError(f"{override.key_or_group} has no effect; {PLACES[config_name]} says where the files go.")


def _entries(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the key of an override with its value; for a dictionary, the keys that it changes.

    A dictionary with a ``_target_`` replaces the old node, so it counts as a single value.
    """
    if not isinstance(value, dict) or not value or "_target_" in value:
        yield key, value
        return
    for name, child in value.items():
        yield from _entries(f"{key}.{name}", child)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help.")


def read_flags(argv: Sequence[str]) -> argparse.Namespace:
    """Return Hydra's own flags, and the ``overrides``, of a command line."""
    with lazy_help():
        parser = _Parser(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
    parser.add_argument("--version", action="version", version=f"amask-solo {__version__}")
    return parser.parse_intermixed_args(argv)


def _parsed(text: str) -> Override:
    parser = OverridesParser.create()
    try:
        return parser.parse_overrides([text])[0]
    except OverrideParseException as error:
        key, equals, value = text.partition("=")
        # Paths with special characters (epoch=9.ckpt) need no quotes from the user.
        if "/" in value or value.endswith(".ckpt"):
            return parser.parse_overrides([f"{key}={quoted(value)}"])[0]
        reason = "expected KEY=VALUE" if not equals else str(error.message).splitlines()[0]
        raise UserError(f"Cannot read '{text}': {reason}. See --help.") from error


def searched(argv: Sequence[str]) -> list[str]:
    """Replace ``--config-dir DIR`` in a command line by the equivalent key, unless there are other flags."""
    flags = read_flags(argv)
    if not flags.config_dir or flags != read_flags(["--config-dir", flags.config_dir, *flags.overrides]):
        return list(argv)
    return [f"hydra.searchpath=[file://{Path(flags.config_dir).resolve()}]", *flags.overrides]


def config_folders(argv: Sequence[str]) -> list[Path]:
    """Return the folders of configuration files on a command line, after the folder of this package."""
    flags = read_flags(argv)
    return _folders(flags.config_dir, [_parsed(text) for text in flags.overrides])


def _folders(config_dir: str | None, overrides: Sequence[Override]) -> list[Path]:
    folders = [config_dir] if config_dir else []
    for override in overrides:
        if override.key_or_group == "hydra.searchpath":
            given: Any = override.value()
            folders += [str(folder).removeprefix("file://") for folder in given]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"There is no folder of configuration files '{folder}'.")
    return [config_folder(), *(Path(folder).resolve() for folder in folders)]


def _names_a_file(override: Override, folders: Sequence[Path]) -> bool:
    is_group = any((folder / override.key_or_group).is_dir() for folder in folders)
    return is_group and not isinstance(override.value(), dict)


def _placed(overrides: Sequence[Override], config_name: str, folders: Sequence[Path]) -> list[Override]:
    """Return the overrides with each choice of a localiser moved below the masker that takes one."""
    inner = [o for o in overrides if o.key_or_group == INNER and o.package is None and not o.is_delete()]
    if not inner:
        return list(overrides)
    others = [o for o in overrides if o not in inner and (o.is_hydra_override() or _names_a_file(o, folders))]
    first = next(_one_by_one(others, folders))
    # Hydra's name of a group has its package if that is unusual.
    present = _compose(config_name, tuple(first), tuple(folders[1:]), with_hydra=True).hydra.runtime.choices
    places = [key for key in present if key.startswith(f"{INNER}@")]
    if not places:
        raise UserError(f"Nothing here asks for a {INNER}, as masker=saliency does; leave out '{inner[0].input_line}'.")
    return [_parsed(str(o.input_line).lstrip("+").replace(INNER, places[0], 1)) if o in inner else o for o in overrides]


def _refuse_no_names(choices: Sequence[Override]) -> None:
    for choice in choices:
        if choice.is_delete() or choice.is_sweep_override() or choice.is_hydra_override():
            continue
        value = choice.value()
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str | QuotedString) and str(name) for name in names):
            raise UserError(f"Expected {choice.key_or_group}=NAME, but got '{choice.input_line}'; see --help.")


def _one_by_one(choices: Sequence[Override], folders: Sequence[Path]) -> Iterator[list[str]]:
    """Yield the choices of a sweep, with each option of a group once, so that all options are checked."""
    options = [_options(choice, folders) for choice in choices]
    first = [option[0] for option in options]
    yield first
    for place, option in enumerate(options):
        for text in option[1:]:
            yield [*first[:place], text, *first[place + 1 :]]


def _options(choice: Override, folders: Sequence[Path]) -> list[str]:
    if not choice.is_sweep_override() or choice.is_hydra_override():
        return [str(choice.input_line)]
    value: Any = choice.value()
    if isinstance(value, Glob):
        names = value.filter(choice_names(choice.key_or_group, folders))
        if not names:
            raise UserError(f"No choice of {choice.key_or_group} fits {choice.input_line}.")
    else:
        names = list(choice.sweep_string_iterator())
    return [f"{choice.get_key_element()}={name}" for name in names]


def choice_names(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the sorted names of a group's files in the given folders."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


@lru_cache  # Hydra takes a third of a second, and a comparison asks for the same choices several times
def _compose(config_name: str, chosen: tuple[str, ...], more: tuple[Path, ...], *, with_hydra: bool = False) -> Any:
    own = ",".join(quoted(f"file://{folder}") for folder in more)
    overrides = [c for c in chosen if not c.startswith("hydra.searchpath")]
    overrides += [f"hydra.searchpath=[{own}]"] if own else []
    try:
        cfg = composed(config_name, overrides, with_hydra=with_hydra)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        # Hydra lists no options if the name is in a list.
        options = error.options or choice_names(group, [config_folder(), *more])
        raise unknown_key(name, options, group or "the commands", kind="choice") from error
    except ConfigCompositionException as error:
        raise UserError(_short(error, chosen)) from error
    except RecursionError as error:
        raise UserError(f"A configuration file of {' '.join(chosen)} lists itself among its defaults.") from error
    except yaml.YAMLError as error:
        raise UserError(f"A configuration file is no valid YAML: {one_line(error)}") from error
    OmegaConf.set_readonly(cfg, True)
    return cfg


def _short(error: ConfigCompositionException, choices: Sequence[str]) -> str:
    message = str(error).splitlines()[0]
    match = re.search(rf"Could not override '({'|'.join(PARTS)}|adversary)'", message)
    if match:
        method: Any = next((c for c in choices if c.startswith("method=")), "This method")
        return f"{method} is not masked, so it has no {match[1]}; choose one of the methods amask_*."
    return message
