"""Adversarial masking for any self-supervised method of solo-learn, and for a training loop of your own.

Importing this package registers ``amask_<name>`` beside every method of the host and loads nothing heavy. The names
below are stable, and all but ``load_host``, ``register`` and ``wrap`` need neither solo-learn nor Lightning nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from amask_solo.masked.registry import register, register_when_imported
from amask_solo.signatures import defining_module

if TYPE_CHECKING:
    from amask_solo.constraints import WeightedSum
    from amask_solo.fills import Zero
    from amask_solo.game.advantage import measure_advantage
    from amask_solo.game.adversary import Adversary
    from amask_solo.game.game import Game
    from amask_solo.game.monitor import diagnose, mask_statistics
    from amask_solo.game.updates import Alternating, Reversal, Turn
    from amask_solo.hosts.installed import load_host
    from amask_solo.masked.method import wrap
    from amask_solo.maskers import RandomMasker, SequentialMasker, SimultaneousMasker
    from amask_solo.occlusion import occlude
    from amask_solo.visualization.panels import mask_panel, save_panel

__version__ = "0.9.0"

__all__ = [
    "Adversary",
    "Alternating",
    "Game",
    "RandomMasker",
    "Reversal",
    "SequentialMasker",
    "SimultaneousMasker",
    "Turn",
    "WeightedSum",
    "Zero",
    "diagnose",
    "load_host",
    "mask_panel",
    "mask_statistics",
    "measure_advantage",
    "occlude",
    "register",
    "save_panel",
    "wrap",
]

register_when_imported()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(str(defining_module(f"{__name__}.{name}"))), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
