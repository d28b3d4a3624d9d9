"""Check what stands on the command line before Hydra sees it.

A configuration file states only what differs from the defaults of a constructor, so Hydra does not know all keys and
would ask for a ``+``. Here every key is looked up, in the composed configuration or among the arguments of the target
beside it, and an unknown one is an error that names the nearest.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import arguments, config_folder, target_arguments
from amask_solo.errors import UserError, unknown_key

FREE = ("backbone.kwargs", "optimizer.kwargs", "momentum", "method_kwargs")
"""Nodes that are handed on to the host or a library as they are, or that only some methods have."""

OVERRIDE = re.compile(r"^(?P<sign>\+{0,2}|~)(?P<key>[A-Za-z_][\w./@-]*)(?P<rest>=.*)?$", re.DOTALL)


def checked(config_name: str, argv: Sequence[str]) -> list[str]:
    """Return the command line with every value override marked as known to be right.

    Args:
        config_name: The primary configuration.
        argv: The command line without the name of the program.

    Raises:
        UserError: If a key or the name of a group's file is unknown; it names the nearest known one.
    """
    groups = {p.relative_to(config_folder()).as_posix() for p in config_folder().rglob("*") if p.is_dir()}
    parsed = [(text, OVERRIDE.match(text)) for text in argv]
    chosen = [t for t, m in parsed if m and m["rest"] and m["key"].split("@")[0] in groups]
    values = [m for t, m in parsed if m and m["rest"] and t not in chosen and not _is_hydra(m["key"])]
    if not values and not chosen:
        return list(argv)
    cfg = _compose(config_name, [_first(text) for text in chosen])
    for match in values:
        _check(match["key"], cfg)
    marked = {match.string: f"++{match['key']}{match['rest']}" for match in values if match["sign"] != "~"}
    return [marked.get(text, text) for text in argv]


def _is_hydra(key: str) -> bool:
    return key.split("/")[0].split(".")[0] == "hydra"


def _first(text: str) -> str:
    # A sweep names several choices; they have the same keys.
    key, _, value = text.partition("=")
    return f"{key}={value.split(',')[0]}"


def _compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    try:
        with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
            cfg = compose(config_name, list(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(cfg)
            return cfg
    except MissingConfigException as error:
        raise _unknown_choice(error) from error
    except ConfigCompositionException as error:
        raise UserError(_short(error, overrides)) from error


def _unknown_choice(error: MissingConfigException) -> UserError:
    path = error.missing_cfg_file or ""
    group, _, name = str(path).rpartition("/")
    known = [p.stem for p in (config_folder() / group).glob("*.yaml")]
    return unknown_key(name, known, group or "the configuration")


def _short(error: ConfigCompositionException, overrides: Sequence[str]) -> str:
    message = str(error).splitlines()[0]
    match = re.search(r"Could not override '(masker|constraint|fill|update|adversary)'", message)
    if match:
        method = next((o for o in overrides if o.startswith("method=")), "this method")
        return f"{method} is not masked, so it has no {match[1]}; choose one of the methods amask_*."
    return message


def _check(key: str, cfg: DictConfig) -> None:
    parts = key.split(".")
    node: Any = cfg
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if where in FREE:
            return
        known = set(_known(node, where))
        if part not in known:
            raise unknown_key(part, known, where or "the configuration")
        present = isinstance(node, DictConfig) and part in node and not OmegaConf.is_missing(node, part)
        if not present:
            return
        node = node[part]


def _known(node: Any, where: str) -> Iterator[str]:
    if not isinstance(node, DictConfig):
        return
    yield from (str(key) for key in node if key != "hydra")
    if "_target_" in node:
        yield from target_arguments(node["_target_"], where)
    if where == "adversary":
        yield from adversary_keys()
    if where == "trainer":
        from lightning.pytorch import Trainer

        yield from inspect.signature(Trainer).parameters
    if where == "":
        yield "momentum"


def adversary_keys() -> set[str]:
    """Return all keys that the node ``adversary`` may have."""
    from amask_solo.adversary import Adversary
    from amask_solo.game import Game

    return arguments(Game) | (arguments(Adversary) - {"game"}) | {"side", "loud"}
