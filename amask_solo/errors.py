"""Errors that a user can act on: each says what was wrong, where, and what to do."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A user's mistake in a setting, a path or a file. The commands print it as one line, without a traceback."""


def unknown_key(key: str, known: Iterable[str], where: str, *, kind: str = "key") -> UserError:
    """Return an error about an unknown key (or a choice of another ``kind``) that names the closest known one.

    Example:
        >>> print(unknown_key("constrain", ["constraint", "fill"], "adversary"))
        Unknown key 'constrain' in adversary; did you mean 'constraint'? Known: constraint, fill.
    """
    known = sorted(known)
    return UserError(f"Unknown {kind} '{key}' in {where}{nearest(key, known)} Known: {', '.join(known)}.")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown word: the closest known one, if one is close.

    Example:
        >>> nearest("adamm", ["sgd", "adam"]), nearest("x", ["sgd"])
        ("; did you mean 'adam'?", '.')
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else "."


def one_line(error: Exception) -> str:
    r"""Return the text of an error in one line.

    Example:
        >>> one_line(ValueError("first\n    second"))
        'first second'
    """
    return " ".join(str(error).split())


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first of several names, which may be too many to read.

    Example:
        >>> some(["cat", "dog"]), some(["cat", "dog", "wolf"], most=1)
        ('cat, dog', 'cat, ...')
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
