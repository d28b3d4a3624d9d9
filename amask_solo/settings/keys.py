"""Which keys a configuration may have, beyond those that it has."""

from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.configuration import target_arguments
from amask_solo.errors import UserError, unknown_key

FREE = ("backbone.kwargs", "optimizer.kwargs", "momentum", "trainer", "definitions")
"""Nodes that are handed on to the host or a library, which know their keys; and the arms of a comparison."""

ADVERSARY = ("amask_solo.game.game.Game", "amask_solo.game.adversary.Adversary")
"""Whose arguments stand below ``adversary``."""


def check_key(key: str, cfg: DictConfig, *, given: Sequence[Override] = ()) -> None:
    """Look a key up, in a configuration or among the arguments of its targets.

    Args:
        key: A dotted key.
        cfg: The composed configuration.
        given: All keys that are given beside it: one that is added is known, and an own ``base_class`` has its own
            ``method_kwargs``.

    Raises:
        UserError: If the key is unknown; it names the nearest known one.
    """
    own_class = cfg.get("base_class") or any(o.key_or_group == "base_class" for o in given)
    free = (*FREE, "method_kwargs") if own_class else FREE
    node: Any = cfg
    parts = key.replace("[", ".").replace("]", "").split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if where in free or (part == "momentum" and own_class):
            return
        if part not in _present(node):
            _refuse_unless_known(part, node, where)
            return
        if depth + 1 == len(parts) or OmegaConf.is_missing(node, _index(part, node)):
            return
        child = node[_index(part, node)]
        # What differs from a run's own images is compared with these when they are known.
        if _is_free(node, child) or (part == "data" and not child):
            return
        node = child


def _index(part: str, node: Any) -> Any:
    return int(part) if isinstance(node, ListConfig) else part


def _present(node: Any) -> list[str]:
    if isinstance(node, ListConfig):
        return [str(place) for place in range(len(node))]
    return [str(name) for name in node] if isinstance(node, DictConfig) else []


def _is_free(node: Any, child: Any) -> bool:
    """Return whether a dictionary is an argument, whose constructor knows what may stand in it."""
    return "_target_" in _present(node) and isinstance(child, DictConfig) and "_target_" not in child


def _refuse_unless_known(part: str, node: Any, where: str) -> None:
    if not isinstance(node, DictConfig | ListConfig):
        raise UserError(f"{where} is a single value, so it has no '{part}'.")
    if where == "" and part == "adversary":
        raise UserError(f"method={node.get('method')} is not masked, so it has no adversary; choose one of amask_*.")
    known = {name for name in (*_present(node), *_arguments(node, where)) if not name.startswith("_")}
    if part not in known:
        raise unknown_key(part, known, where or "the configuration")


def _arguments(node: DictConfig | ListConfig, where: str) -> Iterable[str]:
    if "_target_" in node:
        return target_arguments(node["_target_"], where).names
    if where == "adversary":
        game, adversary = (target_arguments(path, where).names for path in ADVERSARY)
        return game | (adversary - {"game"}) | {"side", "loud"}
    return ()
