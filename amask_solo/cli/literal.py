"""Keys whose values are paths or names: their text is taken as it stands on the command line, without a grammar."""

import re
from fnmatch import fnmatchcase

from hydra.core.override_parser.types import Quote, QuotedString

LITERAL = (
    *("name", "run_folder", "ckpt", "output", "path", "folder", "init"),
    *("data.name", "data.*path", "data.*root", "data.*folder", "data.*file", "data.*dir", "data.*list"),
    *("data.classes", "data.imagenet", "data.source"),
    *("logger.project", "logger.entity", "logger.mode", "adversary.*.path"),
    *("protocol.*.occluders", "protocol.*.folders"),
)
"""Patterns of the keys."""

GRAMMAR = re.compile(r"""null|\?\?\?|'.*'|".*"|.*\$\{.*|(choice|glob|range|sort|shuffle|tag|interval)\(.*""", re.DOTALL)
"""Values that Hydra reads even so: null, quoted text, interpolations, and several values by a function."""


def quoted(text: str) -> str:
    """Return a text as Hydra's grammar quotes it."""
    return QuotedString(text, Quote.single).with_quotes()


def literal(override: str, *, several: bool) -> str:
    """Quote the value of an override as it was typed, ``KEY=VALUE``, if its key is literal.

    With ``several``, commas separate values, as with the flag ``-m``.

    Example:
        >>> literal("data.train_path=photos (1), a=b", several=False)
        "data.train_path='photos (1), a=b'"
        >>> literal("seed=3", several=False), literal("ckpt=a,b", several=True)
        ('seed=3', "ckpt='a','b'")
    """
    signed, equals, value = override.partition("=")
    key = signed.lstrip("+")
    is_list = key.endswith(".folders") and value.startswith("[")
    if not value or is_list or GRAMMAR.fullmatch(value) or not any(fnmatchcase(key, one) for one in LITERAL):
        return override
    return f"{signed}{equals}{','.join(quoted(part) for part in (value.split(',') if several else [value]))}"
