"""Build the objects that the node ``adversary`` of a configuration names."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import (
    GAME,
    HOST_SIDE,
    check_keys,
    config_folder,
    instantiate,
    read_choice,
    target_arguments,
)
from amask_solo.errors import UserError
from amask_solo.game.adversary import Adversary
from amask_solo.game.game import Game
from amask_solo.hosts.names import STATISTICS
from amask_solo.layout import PARTS

OPTIMIZER = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-3}
"""The node that ``adversary.optimizer`` is merged into if it names no class: the adversary's default optimizer."""


class Settings(NamedTuple):
    """The adversary, and the settings that only the masked method needs.

    Attributes:
        adversary: The masker's side of the game.
        side: The index of the masked view; ``None`` chooses the one whose mask gets a gradient; ``"both"`` masks the
            first two views, each with its own masks. The pairs of the game decide, if it has some.
        loud: The call that writes logs, statistics, queues and memory banks: the one on the (last) ``"masked"`` view,
            or an extra one on ``"clean"`` views, which costs one more encoder pass.
        symmetric: Whether the objective has the terms in which a clean view predicts a masked one.
        alone: The share of the training, at its end, in which the masker learns alone, in [0, 1): the cosine of the
            encoder's learning rate ends before it. The ``train_mask_epoch`` of ADIOS's code, there in epochs.
    """

    adversary: Adversary
    side: Literal[0, 1, "both"] | None
    loud: Literal["masked", "clean"]
    symmetric: bool
    alone: float


def build_settings(cfg: DictConfig) -> Settings:
    """Build the adversary of a configuration.

    Args:
        cfg: The host's configuration. Its node ``adversary`` has the arguments of
            :class:`~amask_solo.game.game.Game` and :class:`~amask_solo.game.adversary.Adversary`, ``side``, ``loud``,
            ``symmetric`` and ``alone``; without it, the adversary is that of ``adversary=default``. A part (masker,
            fill, constraint, update, hard_views, negatives) is the name of a file, a node with ``name`` and the
            differences from that file, or a node with its own ``_target_``.

    Raises:
        UserError: If a key or a name is unknown (the message names the nearest known one), or a value is refused.
    """
    node = OmegaConf.select(cfg, "adversary") or read_choice("adversary", "default", "adversary").adversary
    check_keys(node, "adversary")
    side, loud, symmetric = _host_side(node)
    alone = _alone(cfg, node.get("alone", 0.0))

    # The random state must be that of a stock run, so that both see the same data in the same order.
    with torch.random.fork_rng(devices=[]):
        chosen = {part: node.get(part) or default for part, default in PARTS.items()}
        made = {part: _build(cfg, part, choice) for part, choice in chosen.items() if choice}
        if optimizer := node.get("optimizer"):
            # Resolved first: interpolations refer to the whole configuration.
            given: Any = OmegaConf.to_container(optimizer, resolve=True)
            whole = OmegaConf.create(given if "_target_" in given else OPTIMIZER | given)
            made["optimizer"] = instantiate(whole, "adversary.optimizer")
        rest: Any = {key: node[key] for key in node if key not in (*HOST_SIDE, *PARTS, "optimizer")} | made
        played = {key: rest.pop(key) for key in target_arguments(GAME, "adversary").names if key in rest}
        try:
            game = Game(**played)
            if game.pairs:
                side = "both" if len(game.sides) == 2 else 1 if game.sides == [1] else 0
            return Settings(Adversary(game=game, **rest), side, loud, symmetric, alone)
        except ValueError as error:
            raise UserError(f"adversary: {error}") from error


def _host_side(node: DictConfig | Mapping) -> tuple[Any, Any, bool]:
    """Return side, loud and symmetric; raise a ``UserError`` if one of them, or pairs, is wrong."""
    side, loud, symmetric = node.get("side"), node.get("loud", "masked"), node.get("symmetric", True)
    if side not in (None, 0, 1, "both"):
        raise UserError(f"Expected adversary.side to be 0, 1, both or null, but got {side!r}.")
    if loud not in ("masked", "clean"):
        raise UserError(f"Expected adversary.loud to be 'masked' or 'clean', but got {loud!r}.")
    if not isinstance(symmetric, bool):
        raise UserError(f"Expected adversary.symmetric to be true or false, but got {symmetric!r}.")
    if not isinstance(node.get("pairs") or {}, Mapping):
        raise UserError(
            f"Expected adversary.pairs to have names and weights, as {{both: 1}}, but got {node['pairs']!r}."
        )
    if node.get("pairs") and side is not None:
        raise UserError("adversary.pairs says which views are masked; leave adversary.side out.")
    return side, loud, symmetric


def _alone(cfg: DictConfig, share: Any) -> float:
    """Return the share of the training that is the masker's alone; raise a ``UserError`` if there is no such end."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise UserError(f"Expected adversary.alone to be a number from 0 to below 1, but got {share!r}.")
    if share and (name := OmegaConf.select(cfg, "scheduler.name", default="warmup_cosine")) != "warmup_cosine":
        raise UserError(
            f"adversary.alone ends the cosine of the encoder's learning rate early, but scheduler.name={name} has "
            "none; take scheduler.name=warmup_cosine, or leave adversary.alone out."
        )
    return float(share)


def check_precision(adversary: Adversary, precision: str) -> None:
    """Raise a ``UserError`` if a game takes several backward passes a step and the precision is ``"16-mixed"``."""
    if precision == "16-mixed" and (adversary.two_turns or adversary.memory_efficient or adversary.steps > 1):
        raise UserError(
            "update=alternating, adversary.memory_efficient and adversary.steps above 1 do not work with"
            " precision=16-mixed: the gradient scaler serves one backward pass a step. Use"
            " precision=bf16-mixed, or update=reversal, one step and adversary.memory_efficient=false."
        )


def _build(cfg: DictConfig, part: str, choice: Any) -> Any:
    chosen = described(part, choice)
    if "_target_" not in chosen:
        raise UserError(f"adversary.{part} needs a 'name' or a '_target_', but has {sorted(chosen)}.")
    # Interpolations in a part's file refer to the whole configuration (a ViT's patch size).
    whole: Any = OmegaConf.merge({k: v for k, v in cfg.items() if k != "adversary"}, {part: chosen})
    data, where = cfg.get("data") or {}, f"adversary.{part}"
    given = {key: list(data[key]) for key in ("mean", "std") if OmegaConf.is_list(data.get(key))}
    pixels = STATISTICS.get(str(data.get("dataset")), {}) | given
    node = OmegaConf.to_container(whole[part], resolve=True)
    return instantiate(OmegaConf.create(_told(node, pixels, where)), where)


def _told(node: Any, pixels: Mapping[str, list[Any]], where: str) -> Any:
    """Fill in the mean and std of the data's pixels in each part that takes both, and their channels likewise.

    What a part sets itself stays.

    The names of the arguments decide, so a user's part that means something else by both must set them. An
    interpolation in the part's file has nothing to refer to: most data sets measure both values, and settings are
    checked before that.
    """
    if isinstance(node, list):
        return [_told(child, pixels, where) for child in node]
    if not isinstance(node, dict):
        return node
    node = {key: _told(child, pixels, where) for key, child in node.items()}
    takes = target_arguments(node["_target_"], where).names if "_target_" in node else ()
    if "channels" in takes and len(pixels.get("mean", "rgb")) != 3:
        node = {"channels": len(pixels["mean"]), **node}
    return {**pixels, **node} if {"mean", "std"} <= set(takes) else node


def described(group: str, choice: Any) -> dict[str, Any]:
    """Return the node of a choice: the name of a file, a name with differences from the file, or the node itself.

    An argument that is a group itself (the localiser of a masker) may be chosen in the same way.

    Raises:
        UserError: If the group has no such file; the message names the nearest one.
    """
    node = {"name": choice} if isinstance(choice, str) else dict(choice)
    if "name" in node:
        node = {**_load(group, node.pop("name")), **node}
    folder = config_folder()
    below = {key: value for key, value in node.items() if isinstance(value, str | Mapping) and (folder / key).is_dir()}
    return node | {key: described(key, value) for key, value in below.items()}


def _load(group: str, name: str) -> dict[str, Any]:
    """Return the content of a file, merged over the defaults that it takes from other groups."""
    node = read_choice(group, name, f"adversary.{group}")
    others = OmegaConf.create({})
    for entry in node.pop("defaults", ()):
        for key, choice in entry.items() if isinstance(entry, Mapping) else ():
            other, _, place = key.strip("/").partition("@")
            OmegaConf.update(others, place or other, _load(other, choice))
    loaded: Any = OmegaConf.to_container(OmegaConf.merge(others, node))
    return loaded
