"""What a stored configuration may build: a run folder may come from somebody else.

Every ``_target_`` is a dotted path to anything callable, and to import a module is to run it. So each one is looked up
before anything is built, and nothing is imported for it that is not trusted. Where a path leads counts, not how it
begins: ``amask_solo.data.decode.os.system`` is no part of this package.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError

OWN = "amask_solo"

PARTS = (
    *(
        f"{OWN}.{room}"
        for room in ("constraints", "data", "fills", "game", "hard_views", "localisers", "maskers", "projections")
    ),
    f"{OWN}.hosts.lars",
    "torch.optim",
)
"""What may always be built. The rest of the package is no part of any run, and some of it starts other programs."""

NOT_BUILT = ("trainer", "logger", "loader")
"""Where a run took place. Nobody builds this a second time, so it is left out instead of looked at."""


def trusted(cfg: DictConfig, path: Path, *, trust: Sequence[str] = ()) -> DictConfig:
    """Return what may be built of a stored configuration.

    Args:
        cfg: The configuration.
        path: Its file; no module beside it or below is taken for one of the current folder.
        trust: Further modules that the user trusts, with all that lie in them.

    Raises:
        UserError: If it names something that is not trusted, or anything that is not there yet.
    """
    plain: Any = OmegaConf.to_container(cfg)
    kept = {key: node for key, node in plain.items() if key not in NOT_BUILT}
    for where, value in _values(kept, ""):
        # A run writes down values, so only another hand can have put one here that is still to be found.
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{path}: {where} is no value but an interpolation, {value}; write the value.")
        if where.endswith("_target_"):
            _check(value, f"{path}: {where.removesuffix('_target_').rstrip('.')}", run=path.parent, trust=trust)
    return OmegaConf.create(kept)


def _values(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield each value of a configuration with its dotted key, a whole node where a single target should be."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if where.endswith("_target_") or not isinstance(node, dict | list):
        yield where, node
    for key, child in children:
        yield from _values(child, f"{where}.{key}" if where else str(key))


def _check(target: Any, where: str, *, run: Path, trust: Sequence[str]) -> None:
    module = str(target).rpartition(".")[0]
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"{where} names {target!r}, which is no dotted path.")
    if not _covered(module, run=run, trust=trust):
        raise _refusal(target, where, module)
    try:
        found = hydra.utils.get_object(target)
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: cannot find {target}: {' '.join(str(error).split())}") from error
    # A path may lead through a trusted module to what that one has imported.
    origin = getattr(found, "__module__", None)
    if not isinstance(origin, str) or not _covered(origin, run=run, trust=trust):
        raise _refusal(target, where, origin if isinstance(origin, str) else module, of=origin)


def _refusal(target: str, where: str, module: str, *, of: str | None = None) -> UserError:
    origin = f" of {of}" if of else ""
    return UserError(
        f"{where} names {target}{origin}, which is no part of {OWN} or torch.optim and in no module of the current "
        f"folder, so it is not run. If you know what it does: trust=[{module or target}]."
    )


def _covered(module: str, *, run: Path, trust: Sequence[str]) -> bool:
    named = any(module == name or module.startswith(f"{name}.") for name in (*PARTS, *trust))
    return named or _lies_here(module.partition(".")[0], run)


def _lies_here(top: str, run: Path) -> bool:
    """Return whether a module or package lies in the current folder itself, and is not part of a run; import nothing.

    An environment in the current folder (``.venv``) is not meant, so folders below count only as packages.
    """
    try:
        spec = importlib.util.find_spec(top) if top and top != OWN else None
    except ValueError:  # a module that was made by hand, such as `__main__`
        spec = None
    if spec is None or not spec.has_location or not spec.origin:
        return False
    file, run = Path(spec.origin).absolute(), run.resolve()
    home = file.parent if spec.submodule_search_locations is not None else file
    folder = home.parent.resolve()
    return folder == Path.cwd().resolve() and not folder.is_relative_to(run) and not run.is_relative_to(home.resolve())
