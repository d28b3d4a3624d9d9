"""Which keys a configuration may have, beyond those that it has."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import node_arguments
from amask_solo.errors import UserError, unknown_key

FREE = ("backbone.kwargs", "optimizer.kwargs", "momentum", "trainer", "definitions")
"""Nodes that are handed on to the host or a library, which know their keys; and the arms of a comparison."""


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
    node: Any = OmegaConf.to_container(cfg)
    where = ""
    for part in key.replace("[", ".").replace("]", "").split("."):
        # What differs from a run's own images is compared with these when they are known.
        if where in free or node == "???" or (where == "data" and not node) or (part == "momentum" and own_class):
            return
        node = dict(zip(map(str, range(len(node))), node, strict=True)) if isinstance(node, list) else node
        if not isinstance(node, dict):
            raise UserError(f"{where} is a single value, so it has no '{part}'.")
        if part not in node:
            _refuse_unless_known(part, node, where)
            return
        is_argument, node = "_target_" in node, node[part]
        if is_argument and isinstance(node, dict) and "_target_" not in node:
            return  # A dictionary for a constructor, which knows what may stand in it.
        where = f"{where}.{part}".lstrip(".")


def _refuse_unless_known(part: str, node: dict[str, Any], where: str) -> None:
    if (where, part) == ("", "adversary"):
        raise UserError(f"method={node.get('method')} is not masked, so it has no adversary; choose one of amask_*.")
    takes = node_arguments(node, where)
    known = {name for name in (*node, *(takes.names if takes else ())) if not name.startswith("_")}
    if part not in known:
        raise unknown_key(part, known, where or "the configuration")
