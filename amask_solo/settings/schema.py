"""Compare the values of a configuration with rules."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError
from amask_solo.rules import Rule, check_values


def check_rules(
    cfg: DictConfig | Mapping[str, Any],
    rules: Mapping[str, Rule],
    *,
    if_there: Mapping[str, Rule] | None = None,
    where: str = "",
) -> None:
    """Compare values with rules.

    Args:
        cfg: A configuration without missing values.
        rules: Dotted key -> rule. The value of an absent key is null.
        if_there: Pattern of dotted keys -> rule for the keys that exist. If several patterns fit, the first one counts.
        where: The prefix of the keys in messages.

    Raises:
        UserError: If a rule does not hold; for a choice, the message names the nearest allowed value.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
    values = dict(_entries(plain))
    asked = dict(rules)
    for key in values:
        rule = next((rule for pattern, rule in (if_there or {}).items() if fnmatchcase(key, pattern)), None)
        if rule:
            asked.setdefault(key, rule)
    try:
        check_values({key: values.get(key) for key in asked}, asked, where)
    except ValueError as error:
        raise UserError(str(error)) from error


def _entries(node: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all dotted keys with their values, including nodes."""
    for key, value in node.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{key}.")
