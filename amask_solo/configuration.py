"""Check configurations, and build objects from nodes with a ``_target_``, with errors that a user can act on."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.errors import UserError, unknown_key
from amask_solo.rules import Rule, check_values
from amask_solo.signatures import Arguments, read_arguments

SETTINGS_REFUSED = (ValueError, TypeError, OSError, ImportError)
"""The errors that a constructor raises about its arguments; any other error is a bug and keeps its traceback."""

GAME, ADVERSARY = "amask_solo.game.game.Game", "amask_solo.game.adversary.Adversary"
HOST_SIDE = ("side", "loud", "symmetric", "alone")
"""Keys below ``adversary`` that neither class takes; only the masked method needs them."""

UNIONS: tuple[Any, ...] = (Union, UnionType)
PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
"""Plain types of values on the command line -> their names in messages."""


def part_of(share: float, size: int | str) -> int | str:
    """Return a share of a size in whole pixels; ``auto`` stays so until the images are measured."""
    return size if isinstance(size, str) else max(1, round(share * size))


OmegaConf.register_new_resolver("amask_part", part_of, replace=True)


def config_folder() -> Path:
    """Return the folder of configuration files: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def read_target(group: str, name: str) -> str | None:
    """Return the ``_target_`` of a configuration file of this package; ``None`` if there is no such file or target."""
    file = config_folder() / group / f"{name}.yaml"
    return OmegaConf.select(OmegaConf.load(file), "_target_") if name and file.is_file() else None


def read_choice(group: str, name: str, where: str) -> DictConfig:
    """Return the content of a configuration file of this package.

    Raises:
        UserError: If there is no such file; the message names the nearest one, and ``where`` it was asked for.
    """
    names = sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
    if name not in names:
        raise unknown_key(name, names, where)
    node: Any = OmegaConf.load(config_folder() / group / f"{name}.yaml")
    return node


def instantiate_choice(group: str, name: str, where: str, **changes: Any) -> Any:
    """Build the object of a configuration file, with changes of which those are taken that it has arguments for.

    Raises:
        UserError: If there is no such file, or its object cannot be built.
    """
    node: Any = OmegaConf.to_container(read_choice(group, name, where))
    takes = target_arguments(node["_target_"], where)
    taken = {key: value for key, value in changes.items() if key in takes.names}
    return instantiate(OmegaConf.create({**node, **taken}), where)


def instantiate(node: DictConfig, where: str, **more: Any) -> Any:
    """Build the object that a node describes by its ``_target_`` and arguments, which may be such nodes themselves.

    Errors name its place in the configuration, ``where``.

    Raises:
        UserError: If the target is not found, an argument is unknown, or the constructor refuses a value.
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
    """Compare the keys of a node, and of all nodes below it, with the arguments of their targets.

    Raises:
        UserError: If a target is not found or does not take a key (the message names the nearest one), or if a value
            is missing or of the wrong type.
    """
    if not isinstance(node, DictConfig | ListConfig | Mapping):
        return
    missing = sorted(OmegaConf.missing_keys(node))
    if missing:
        given = " and ".join(f"{_below(where, key)}=..." for key in missing)
        raise UserError(f"Missing setting: {given} must be given.")
    if not isinstance(node, ListConfig) and (takes := node_arguments(node, where)):
        for key in node:
            if key not in takes.names and not takes.any_name and not str(key).startswith("_"):
                raise unknown_key(str(key), takes.names, where)
        check_types(node, takes.plain, where)
    for key, child in enumerate(node) if isinstance(node, ListConfig) else node.items():
        check_keys(child, _below(where, key))


def check_types(node: DictConfig | Mapping, plain: Mapping[str, Collection[type]], where: str) -> None:
    """Raise a ``UserError`` if a value of a node is not of a type that ``plain`` has for its key; others are free."""
    for key, value in node.items():
        types = plain.get(str(key), (type(value),))
        if type(value) not in types and not (type(value) is int and float in types):
            expected = " or ".join(words for kind, words in PLAIN.items() if kind in types)
            raise UserError(f"Expected {_below(where, key)} to be {expected}, but got {value!r}.")


def check_rules(
    cfg: DictConfig, rules: Mapping[str, Rule], *, if_there: Mapping[str, Rule] | None = None, where: str = ""
) -> None:
    """Compare the values of a configuration with rules; an absent key of ``rules`` is null.

    Args:
        cfg: A configuration without missing values.
        rules: Dotted key -> rule.
        if_there: Pattern of dotted keys -> rule for the keys that exist. If several patterns fit, the first one counts.
        where: The prefix of the keys in messages.

    Raises:
        UserError: If a rule does not hold; for a choice, the message names the nearest allowed value.
    """
    values: dict[str, Any] = dict.fromkeys(rules) | dict(_entries(OmegaConf.to_container(cfg, resolve=True)))
    asked = dict(rules)
    for key in values:
        for rule in [rule for pattern, rule in (if_there or {}).items() if fnmatchcase(key, pattern)]:
            asked.setdefault(key, rule)
    try:
        check_values(values, asked, where)
    except ValueError as error:
        raise UserError(str(error)) from error


def _entries(node: Any, separator: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all joined keys with their values, including nodes."""
    for key, value in node.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _entries(value, separator, f"{prefix}{key}{separator}")


def flat(node: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Return the values of nested mappings by their joined keys."""
    return {key: value for key, value in _entries(node, separator) if not isinstance(value, Mapping)}


def _below(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def node_arguments(node: DictConfig | Mapping, where: str) -> Arguments | None:
    """Return the keys that a node may have: the arguments of its target; for ``adversary``, of game and adversary.

    A node without target has none (``None``); a target that does not exist is a ``UserError``.
    """
    if where == "adversary":
        game, adversary = (target_arguments(path, where) for path in (GAME, ADVERSARY))
        names = (game.names | adversary.names | set(HOST_SIDE)) - {"game"}
        return Arguments(names, False, game.plain | adversary.plain)
    return target_arguments(node["_target_"], where) if "_target_" in node else None


def target_arguments(path: Any, where: str) -> Arguments:
    """Return the arguments at a dotted path, importing what is not in this package.

    Raises:
        UserError: If the class or function does not exist.
    """
    if not isinstance(path, str):
        raise UserError(f"{where}: expected _target_ to be a dotted path, but got {path!r}.")
    try:
        return read_arguments(path) or arguments(hydra.utils.get_object(path))
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: cannot find {path}: {error}") from error


def target_defaults(path: str) -> dict[str, Any]:
    """Return the defaults of the arguments at a dotted path; what stands there is imported."""
    parameters = inspect.signature(hydra.utils.get_object(path)).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def arguments(target: Any) -> Arguments:
    """Return the arguments of a class or function that has been imported."""
    parameters = inspect.signature(target).parameters.values()
    any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    names = frozenset(p.name for p in parameters if not p.kind.name.startswith("VAR_"))
    annotations = inspect.get_annotations(target.__init__ if inspect.isclass(target) else target)
    options = {
        name: frozenset(get_args(kind)) if get_origin(kind) in UNIONS else frozenset({kind})
        for name, kind in annotations.items()
    }
    return Arguments(
        names, any_name, {name: options[name] for name in names & options.keys() if options[name] <= PLAIN.keys()}
    )
