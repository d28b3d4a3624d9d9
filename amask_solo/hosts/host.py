"""The installed host behind one interface, whichever generation of solo-learn it is."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.aliases import stand_ins

ONLY_CURRENT = frozenset({"all4one", "mae", "mocov3", "vibcreg"})
"""Methods that the release of the host does not have."""

MISSING = """\
solo-learn, the host of this plugin, is not installed. Install it in one of three ways:
  1. uv:     `make install`, or `uv pip install ".[host]"` in a clone of this project, whose
             pyproject lifts the host's old pins.
  2. pip:    `pip install . einops`, then `pip install --no-deps solo-learn==1.0.2`.
  3. GitHub: clone https://github.com/vturrisi/solo-learn, then put the clone on PYTHONPATH, or
             `PIP_CONSTRAINT=<file with the line "setuptools<81"> pip install --no-deps <clone>`."""


@dataclass(frozen=True)
class Host:
    """One generation of solo-learn, with what is broken in it repaired on the way out.

    Attributes:
        generation: ``"release"`` (1.0.2 from PyPI) or ``"current"`` (GitHub).
        backbone: The attribute that holds the encoder, and its prefix in checkpoints.
        momentum_backbone: The same for the teacher of momentum methods.
        base: The host's ``BaseMethod``.
        methods: Name -> unmodified class of every base method, by the current host's names.
        adapt: Any subclass of ``base`` -> the same, repaired, constructed from one ``DictConfig``
            in the current host's schema. Adapting twice changes nothing.
    """

    generation: str
    backbone: str
    momentum_backbone: str
    base: type
    methods: Callable[[], dict[str, type]]
    adapt: Callable[[type], type]

    def stock(self, name: str) -> type:
        """Return the repaired class of the base method ``name``.

        Raises:
            UserError: If the host has no such method.
        """
        methods = self.methods()
        if name in methods:
            return self.adapt(methods[name])
        if name in ONLY_CURRENT:
            raise UserError(
                f"Method '{name}' exists only in solo-learn's GitHub version, but the release is "
                "installed. Install the GitHub version (README, 'Install'), or choose one of "
                f"{', '.join(sorted(methods))}."
            )
        raise unknown_key(name, methods, f"the methods of the host ({self.generation})")


@cache
def load_host() -> Host:
    """Import the host and return it; the generation is told by what it can do, not by its version.

    Raises:
        UserError: If no host is installed, or one of its own dependencies is missing.
    """
    if find_spec("solo") is None:
        raise UserError(MISSING)
    try:
        with stand_ins():
            base = importlib.import_module("solo.methods").BaseMethod
    except ImportError as error:
        raise UserError(f"solo-learn is installed but does not import: {error}.\n{MISSING}") from error
    if hasattr(base, "add_and_assert_specific_cfg"):
        return importlib.import_module("amask_solo.hosts.current").host()
    return importlib.import_module("amask_solo.hosts.release").host()
