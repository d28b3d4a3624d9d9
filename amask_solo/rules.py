"""Rules for the values of settings, checked without any library."""

import math
import os
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from amask_solo.errors import nearest


class Rule(NamedTuple):
    """A condition on a value.

    Attributes:
        what: The condition in words, as they follow "to be".
        holds: The condition as a test.
        known: All allowed values, if they are few; a message names the nearest one.
    """

    what: str
    holds: Callable[[Any], bool]
    known: Collection[Any] = ()


def check_values(values: Mapping[str, Any], rules: Mapping[str, Rule], where: str = "") -> None:
    """Raise a ``ValueError`` if a value breaks the rule of the same name; ``where`` precedes names in the message.

    Example:
        >>> check_values({"k": 0}, {"k": whole(1)}, "protocol.knn.")
        Traceback (most recent call last):
        ValueError: Expected protocol.knn.k to be a whole number of at least 1, but got 0.
    """
    for name, rule in rules.items():
        if name in values and not rule.holds(values[name]):
            close = nearest(str(values[name]), map(str, rule.known))
            raise ValueError(f"Expected {where}{name} to be {rule.what}, but got {values[name]!r}{close}")


def table(**entries: Any) -> Mapping[str, Any]:
    """Return a read-only mapping, for class attributes."""
    return MappingProxyType(entries)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a float can hold."""
    return (is_whole(value) or isinstance(value, float)) and abs(value) <= 1e300 and math.isfinite(value)


def whole(least: int) -> Rule:
    """Return the rule for a whole number."""
    return Rule(f"a whole number of at least {least}", lambda value: is_whole(value) and least <= value < 2**63)


def one_of(*known: Any) -> Rule:
    """Return the rule for a choice among texts or numbers."""
    words = ", ".join(dict.fromkeys(map(str, known)))
    return Rule(f"one of {words}", lambda value: (type(value), value) in [(type(k), k) for k in known], known)


def or_null(rule: Rule) -> Rule:
    """Return a rule that also allows null."""
    return Rule(f"{rule.what}, or null", lambda value: value is None or rule.holds(value), rule.known)


def either(first: Rule, second: Rule) -> Rule:
    """Return a rule that allows what one of two rules allows."""
    return Rule(f"{first.what}, or {second.what}", lambda value: first.holds(value) or second.holds(value))


def several(rule: Rule, *, least: int = 1) -> Rule:
    """Return the rule for a list of values."""
    some = "a list" if least else "a list, perhaps an empty one"
    return Rule(
        f"{some} with each entry {rule.what}", lambda value: _is_list(value, least) and all(map(rule.holds, value))
    )


def one_or_several(rule: Rule) -> Rule:
    """Return the rule for a single value or a list of values."""
    many = several(rule)
    return Rule(f"{rule.what}, or a list of such", lambda value: rule.holds(value) or many.holds(value))


def listed(value: Any) -> list[Any]:
    """Return as a list what :func:`one_or_several` allows."""
    return list(value) if _is_list(value, 0) else [value]


def _is_list(value: Any, least: int) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | Mapping) and len(value) >= least


AT_LEAST_0 = Rule("a number of at least 0", lambda value: is_number(value) and value >= 0)
POSITIVE = Rule("a number above 0", lambda value: is_number(value) and value > 0)
SHARE = Rule("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
BETWEEN = Rule("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)
PART = Rule("a share above 0, up to 1", lambda value: SHARE.holds(value) and value > 0)
SWITCH = Rule("true or false", lambda value: type(value) is bool)
TEXT = Rule("text", lambda value: isinstance(value, str) and value != "")
SEED = Rule("a whole number from 0 to 2^32 - 1", lambda value: is_whole(value) and 0 <= value < 2**32)
PATH = Rule(
    "a path, of names with at most 255 bytes",
    lambda value: TEXT.holds(value) and all(len(os.fsencode(name)) <= 255 for name in value.split("/")),
)
