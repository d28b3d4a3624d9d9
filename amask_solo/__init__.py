"""Adversarial masking for any self-supervised method of solo-learn.

Importing this package registers ``amask_<name>`` beside every method of the host and loads nothing heavy.
"""

from importlib import import_module
from typing import Any

from amask_solo.masked.registry import register, register_when_imported

__version__ = "0.9.0"

_LAZY = {
    "Adversary": "amask_solo.game.adversary",
    "Game": "amask_solo.game.game",
    "load_host": "amask_solo.hosts.installed",
    "occlude": "amask_solo.occlusion",
    "wrap": "amask_solo.masked.method",
}

__all__ = ["Adversary", "Game", "load_host", "occlude", "register", "wrap"]

register_when_imported()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
