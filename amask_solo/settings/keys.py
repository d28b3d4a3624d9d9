"""Checks whether a key may be added to a configuration."""

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from amask_solo.augment.schema import KEYS
from amask_solo.configuration import node_arguments
from amask_solo.errors import UserError, unknown_key

FREE = ("backbone.kwargs", "optimizer.kwargs", "momentum", "trainer", "definitions")
"""Nodes that are passed to the host or a library, which check the keys; and the arms of a comparison."""


def check_key(key: str, cfg: DictConfig, *, given: Sequence[Override] = ()) -> None:
    """Look up a dotted key in a composed configuration and among the arguments of its targets.

    If one of the overrides in ``given`` sets ``base_class``, then ``method_kwargs`` may have any keys.

    Raises:
        UserError: If the key is unknown; the message names the nearest known one.
    """
    own_class = cfg.get("base_class") or any(o.key_or_group == "base_class" for o in given)
    free = (*FREE, "method_kwargs") if own_class else FREE
    node: Any = OmegaConf.to_container(cfg)
    where = ""
    for part in key.replace("[", ".").replace("]", "").split("."):
        # Differences from the images of a run are checked when these are known.
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
            return  # The node goes to a constructor, which checks its keys.
        where = f"{where}.{part}".lstrip(".")


def _refuse_unless_known(part: str, node: dict[str, Any], where: str) -> None:
    if (where, part) == ("", "adversary"):
        raise UserError(f"method={node.get('method')} is not masked, so it has no adversary; choose one of amask_*.")
    takes = node_arguments(node, where)
    recipe = KEYS if re.fullmatch(r"augmentations\.\d+", where) else ()
    known = {name for name in (*node, *recipe, *(takes.names if takes else ())) if not name.startswith("_")}
    if part not in known:
        raise unknown_key(part, known, where or "the configuration")
