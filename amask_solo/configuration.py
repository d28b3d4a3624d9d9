"""From nodes with a ``_target_`` to objects, with errors that a user can act on."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.errors import UserError, unknown_key

SETTINGS_REFUSED = (ValueError, TypeError, OSError, ImportError)
"""What a constructor raises about its arguments; anything else is a bug and keeps its traceback."""

PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
"""Types of which a value on the command line can be, in words."""


def config_folder() -> Path:
    """Return the folder of configuration files: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def instantiate(node: DictConfig, where: str, **more: Any) -> Any:
    """Build what a node describes.

    Args:
        node: A node with a ``_target_`` and arguments, which may be nodes like it.
        where: Its place in the configuration, for error messages.
        more: Further arguments.

    Raises:
        UserError: If the target is not found, an argument is unknown, or a value is refused.
    """
    check_keys(node, where)
    try:
        return hydra.utils.instantiate(node, **more, _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, SETTINGS_REFUSED):
            raise UserError(f"{where}: {cause or error}") from error
        raise cause from None


def check_keys(node: Any, where: str) -> None:
    """Compare the keys of a node, and of those below it, with the arguments of their targets.

    Raises:
        UserError: If a target is not found or does not take a key, or if a value is missing or of the wrong type; it
            names the nearest key.
    """
    if not isinstance(node, DictConfig | ListConfig | Mapping):
        return
    missing = sorted(OmegaConf.missing_keys(node))
    if missing:
        given = " and ".join(f"{_below(where, key)}=..." for key in missing)
        raise UserError(f"Missing setting: {given} must be given.")
    if "_target_" in node:
        _check_arguments(node, where)
    for key, child in enumerate(node) if isinstance(node, ListConfig) else node.items():
        check_keys(child, _below(where, key))


def _check_arguments(node: DictConfig | Mapping, where: str) -> None:
    known = target_arguments(node["_target_"], where)
    types = _plain_types(hydra.utils.get_object(node["_target_"]))
    for key, value in node.items():
        if known and key not in known and not str(key).startswith("_"):
            raise unknown_key(str(key), known, where)
        if key in types and not _is_one_of(value, types[key]):
            expected = " or ".join(words for kind, words in PLAIN.items() if kind in types[key])
            raise UserError(f"Expected {_below(where, key)} to be {expected}, but got {value!r}.")


def _is_one_of(value: Any, types: set[type]) -> bool:
    return type(value) in types or (type(value) is int and float in types)


def _plain_types(target: Any) -> dict[str, set[type]]:
    """Return the types that each argument may have, of those arguments that take plain values alone."""
    annotations = inspect.get_annotations(target.__init__ if inspect.isclass(target) else target)
    # `get_args` of a list's type are those of its items.
    options = {
        name: set(get_args(kind)) if get_origin(kind) in (Union, UnionType) else {kind}
        for name, kind in annotations.items()
        if name != "return"
    }
    return {name: kinds for name, kinds in options.items() if kinds <= PLAIN.keys()}


def _below(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def target_arguments(path: str, where: str) -> set[str]:
    """Return the names of the arguments that a dotted path takes; none if it takes any name."""
    try:
        return arguments(hydra.utils.get_object(path))
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: cannot find {path}: {error}") from error


def arguments(target: Any) -> set[str]:
    """Return the names of the arguments of a class or function; none if it takes any name."""
    parameters = inspect.signature(target).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return set()
    return {p.name for p in parameters}
