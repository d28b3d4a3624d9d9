"""From the node ``adversary`` of a configuration to the objects it names."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from amask_solo.adversary import Adversary
from amask_solo.errors import UserError, unknown_key
from amask_solo.game import Game

PARTS = {"masker": "sequential", "fill": "zero", "constraint": "none", "update": "reversal"}
"""The exchangeable parts, each a group of configuration files, with the default choice."""


class Settings(NamedTuple):
    """The adversary, and what only the host's side needs to know.

    Attributes:
        adversary: The masker's side of the game.
        side: The number of the view that is masked; ``None`` chooses the one through which a mask gets a gradient.
        loud: Which call of the host writes logs, BatchNorm statistics, queues and memory banks: that on the (last)
            ``"masked"`` view, which costs nothing, or an extra one on ``"clean"`` views, one encoder pass more.
    """

    adversary: Adversary
    side: Literal[0, 1] | None
    loud: Literal["masked", "clean"]


def config_folder() -> Path:
    """Return the folder of configuration files: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def build_settings(cfg: DictConfig) -> Settings:
    """Build the adversary that a configuration asks for.

    Args:
        cfg: The host's configuration. Its optional node ``adversary`` holds the arguments of
            :class:`~amask_solo.game.Game` and :class:`~amask_solo.adversary.Adversary`, ``side`` and ``loud``. A part
            (masker, fill, constraint, update) is the name of a configuration file, or a node with ``name`` and what
            differs from that file, or a node with its own ``_target_``.

    Raises:
        UserError: If a key or a name is unknown, or a value is refused; it names the nearest known one.
    """
    node = OmegaConf.select(cfg, "adversary") or {}
    game_keys, adversary_keys = _arguments(Game), _arguments(Adversary) - {"game"}
    for key in node:
        if key not in game_keys | adversary_keys | {"side", "loud"}:
            known = game_keys | adversary_keys | {"side", "loud"}
            raise unknown_key(str(key), known, "adversary")
    side, loud = node.get("side"), node.get("loud", "masked")
    if side not in (None, 0, 1):
        raise UserError(f"Expected adversary.side to be 0, 1 or null, but got {side!r}.")
    if loud not in ("masked", "clean"):
        raise UserError(f"Expected adversary.loud to be 'masked' or 'clean', but got {loud!r}.")

    # The host's random numbers must be those of the stock method, so that both see the same data in the same order.
    with torch.random.fork_rng(devices=[]):
        made = {part: _build(cfg, part, node.get(part) or name) for part, name in PARTS.items()}
        if "optimizer" in node:
            made["optimizer"] = _instantiate(node["optimizer"], "adversary.optimizer")
        chosen = {key: node[key] for key in node if key not in ("side", "loud", *made)} | made
        game = _call(Game, {k: v for k, v in chosen.items() if k in game_keys})
        rest = {k: v for k, v in chosen.items() if k in adversary_keys}
        adversary = _call(Adversary, {"game": game, **rest})
    return Settings(adversary, side, loud)


def _build(cfg: DictConfig, part: str, choice: Any) -> Any:
    if isinstance(choice, str):
        choice = {"name": choice}
    choice = dict(choice)
    if "name" in choice:
        choice = {**_load(part, choice.pop("name")), **choice}
    if "_target_" not in choice:
        raise UserError(f"adversary.{part} needs a 'name' or a '_target_', but has {sorted(choice)}.")
    # Interpolations in a part's file refer to the whole configuration (a ViT's patch size).
    whole = OmegaConf.merge({k: v for k, v in cfg.items() if k != "adversary"}, {part: choice})
    return _instantiate(whole[part], f"adversary.{part}")


def _load(part: str, name: str) -> dict[str, Any]:
    folder = config_folder() / part
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        raise unknown_key(name, names, f"adversary.{part}")
    return dict(OmegaConf.load(folder / f"{name}.yaml"))


def _instantiate(node: Any, where: str) -> Any:
    _check_keys(node, where)
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except hydra.errors.InstantiationException as error:
        raise UserError(f"{where}: {error.__cause__ or error}") from error


def _check_keys(node: Any, where: str) -> None:
    if not isinstance(node, Mapping | DictConfig):
        return
    if "_target_" in node:
        try:
            known = _arguments(hydra.utils.get_object(node["_target_"]))
        except (ImportError, ValueError) as error:
            raise UserError(f"{where}: cannot find {node['_target_']}: {error}") from error
        for key in node:
            if known and key not in known and not str(key).startswith("_"):
                raise unknown_key(str(key), known, where)
    for key, child in node.items():
        _check_keys(child, f"{where}.{key}")


def _arguments(target: Any) -> set[str]:
    parameters = inspect.signature(target).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return set()
    return {p.name for p in parameters}


def _call(target: type, arguments: dict[str, Any]) -> Any:
    try:
        return target(**arguments)
    except ValueError as error:
        raise UserError(f"adversary: {error}") from error
