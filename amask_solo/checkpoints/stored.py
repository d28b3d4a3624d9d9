"""Read the ``config.yaml`` of a run folder, which may be from an older version or from somebody else.

Every ``_target_`` is a dotted path to anything callable, and importing a module runs it. Each target is therefore
checked before anything is built, and modules that are not trusted are not imported for it. The place to which a path
leads counts, not its beginning: ``amask_solo.data.decode.os.system`` is not a part of this package.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError, one_line

MOVED = ("amask_solo.runs.callbacks.", "amask_solo.callbacks.")
"""The beginning of dotted paths in run folders of version 0.8, and its present form."""

OWN = "amask_solo"
ROOMS = "constraints data fills game hard_views hosts.lars localisers maskers projections"
PARTS = (*(f"{OWN}.{room}" for room in ROOMS.split()), "torch.optim")
"""Modules whose objects may always be built. No run needs the rest of the package, and some of it starts programs."""

NOT_BUILT = ("trainer", "logger", "loader")
"""Keys about the place of a run, which are never built again, so they are removed instead of checked."""


def read_stored(path: Path) -> DictConfig:
    """Return a stored configuration with the present names of its targets; nothing in it is executed.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        stored = OmegaConf.load(StringIO(path.read_text(encoding="utf-8").replace(*MOVED)))
    except Exception as error:  # a broken file may make the readers of YAML raise anything
        raise UserError(f"Cannot read {path}: {one_line(error)}") from error
    if not isinstance(stored, DictConfig):
        raise UserError(f"{path} is not the configuration of a run: it has no keys.")
    return stored


def trusted(cfg: DictConfig, path: Path, *, trust: Sequence[str] = ()) -> DictConfig:
    """Return what may be built of a stored configuration.

    Args:
        cfg: The configuration.
        path: Its file; modules beside or below it do not count as modules of the current folder.
        trust: Further modules that the user trusts, with their submodules.

    Raises:
        UserError: If a target is not trusted or not found, or a value is an interpolation.
    """
    plain: Any = OmegaConf.to_container(cfg)
    kept = {key: node for key, node in plain.items() if key not in NOT_BUILT}
    for where, value in _values(kept, ""):
        # A run stores resolved values, so somebody else must have added an interpolation.
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{path}: {where} is no value but an interpolation, {value}; write the value.")
        if where.endswith("_target_"):
            _check(value, f"{path}: {where.removesuffix('_target_').rstrip('.')}", run=path.parent, trust=trust)
    return OmegaConf.create(kept)


def _values(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield each value of a configuration with its dotted key; for a ``_target_`` that is a node, the whole node."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if where.endswith("_target_") or not isinstance(node, dict | list):
        yield where, node
    for key, child in children:
        yield from _values(child, f"{where}.{key}" if where else str(key))


def _check(target: Any, where: str, *, run: Path, trust: Sequence[str]) -> None:
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"{where} names {target!r}, which is no dotted path.")
    module, origin = target.rpartition(".")[0], None
    if covered := _covered(module, run=run, trust=trust):
        try:
            found = hydra.utils.get_object(target)
        except (ImportError, ValueError) as error:
            raise UserError(f"{where}: cannot find {target}: {one_line(error)}") from error
        # A path through a trusted module may lead to something that this module has imported.
        origin = getattr(found, "__module__", None)
        covered = isinstance(origin, str) and _covered(origin, run=run, trust=trust)
    if not covered:
        raise UserError(
            f"{where} names {target}{f' of {origin}' if origin else ''}, which is no part of {OWN} or torch.optim and "
            "in no module of the current folder, so it is not run. If you know what it does: "
            f"trust=[{origin if isinstance(origin, str) else module or target}]."
        )


def _covered(module: str, *, run: Path, trust: Sequence[str]) -> bool:
    named = any(module == name or module.startswith(f"{name}.") for name in (*PARTS, *trust))
    return named or _lies_here(module.partition(".")[0], run)


def _lies_here(top: str, run: Path) -> bool:
    """Return, without an import, whether a module or package is in the current folder and not part of a run.

    Folders below count only as packages, so that an environment in the current folder (``.venv``) does not count.
    """
    try:
        spec = importlib.util.find_spec(top) if top and top != OWN else None
    except ValueError:  # a module without a spec, such as `__main__`
        spec = None
    if spec is None or not spec.has_location or not spec.origin:
        return False
    file, run = Path(spec.origin).absolute(), run.resolve()
    home = file.parent if spec.submodule_search_locations is not None else file
    folder = home.parent.resolve()
    return folder == Path.cwd().resolve() and not folder.is_relative_to(run) and not run.is_relative_to(home.resolve())
