"""From nodes with a ``_target_`` to objects, with errors that a user can act on."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.errors import UserError, unknown_key

SETTINGS_REFUSED = (ValueError, TypeError, OSError, ImportError)
"""What a constructor raises about its arguments; anything else is a bug and keeps its traceback."""


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
        UserError: If a target is not found or does not take a key; it names the nearest one.
    """
    if isinstance(node, Sequence | ListConfig) and not isinstance(node, str):
        for place, child in enumerate(node):
            check_keys(child, f"{where}[{place}]")
    if not isinstance(node, Mapping | DictConfig):
        return
    if "_target_" in node:
        known = target_arguments(node["_target_"], where)
        for key in node:
            if known and key not in known and not str(key).startswith("_"):
                raise unknown_key(str(key), known, where)
    missing = sorted(OmegaConf.missing_keys(node)) if isinstance(node, DictConfig) else []
    if missing:
        given = " and ".join(f"{_below(where, key)}=..." for key in missing)
        raise UserError(f"Missing setting: give {given}.")
    for key, child in node.items():
        check_keys(child, _below(where, key))


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
