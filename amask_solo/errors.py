"""Errors that a user can act on: each says what was wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a setting, a path or a file; the commands print it as one line, without a traceback."""


def unknown_key(key: str, known: Iterable[str], where: str, *, kind: str = "key") -> UserError:
    """Return an error about an unknown key, or choice of another kind, that names the closest known one.

    Example:
        >>> print(unknown_key("constrain", ["constraint", "fill"], "adversary"))
        Unknown key 'constrain' in adversary; did you mean 'constraint'? Known: constraint, fill.
    """
    known = sorted(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return UserError(f"Unknown {kind} '{key}' in {where}{hint} Known: {', '.join(known)}.")
