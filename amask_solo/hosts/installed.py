"""The interface to solo-learn in both of its generations."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.aliases import stand_ins
from amask_solo.hosts.methods import METHODS, base_methods, by_name
from amask_solo.hosts.refusals import MISSING, refuse_missing


@dataclass(frozen=True)
class Host:
    """One generation of solo-learn, with repairs for what is broken in it.

    Attributes:
        generation: ``"release"`` (1.0.2 from PyPI) or ``"current"`` (GitHub).
        backbone: The attribute that holds the encoder; also its prefix in checkpoints.
        momentum_backbone: The same for the teacher of momentum methods.
        base: The host's ``BaseMethod``.
        repairs: The class that precedes a method among the bases of a repaired class.
    """

    generation: str
    backbone: str
    momentum_backbone: str
    base: type
    repairs: type

    @property
    def backbones(self) -> Iterable[str]:
        """The names of the host's own backbones."""
        return getattr(self.base, "_BACKBONES", None) or vars(self.base)["_SUPPORTED_ENCODERS"]

    def methods(self) -> dict[str, type]:
        """Return the current host's name -> the unmodified class, for every base method."""
        own = base_methods()
        return own | {
            name: _renamed(own[row.option_of], row.base)
            for name, row in METHODS.items()
            if row.option_of and name not in own
        }

    def adapt(self, base: type) -> type:
        """Return a subclass of ``base``, a method of the host, with the repairs, or ``base`` itself if it has them.

        The constructor takes one ``DictConfig`` in the current host's schema.
        """
        return _adapted(base, self)

    def stock(self, name: str) -> type:
        """Return the repaired class of a base method; raise a ``UserError`` if the host has no such method."""
        methods = self.methods()
        if name in methods:
            return self.adapt(methods[name])
        if by_name(name).only_current:
            raise UserError(
                f"Method '{name}' exists only in solo-learn's GitHub version, but the release is "
                "installed. Install the GitHub version (README, 'Install'), or choose one of "
                f"{', '.join(sorted(methods))}."
            )
        raise unknown_key(name, methods, f"the methods of the host ({self.generation})")


@cache
def _adapted(base: type, host: Host) -> type:
    if issubclass(base, host.repairs):
        return base
    if not issubclass(base, host.base):
        raise UserError(
            f"Expected a subclass of {host.base.__module__}.{host.base.__name__}, but got "
            f"{base.__module__}.{base.__name__}."
        )
    return type(base.__name__, (host.repairs, base), {"__module__": __name__, "__doc__": base.__doc__})


@cache
def _renamed(method: type, name: str) -> type:
    return type(name, (method,), {"__module__": method.__module__})


@cache
def load_host() -> Host:
    """Import the host and return it; the generation is recognized by its features, not by its version number.

    Raises:
        UserError: If no host is installed, or one of its own dependencies is missing.
    """
    refuse_missing()
    try:
        with stand_ins():
            base = importlib.import_module("solo.methods").BaseMethod
    except ImportError as error:
        raise UserError(f"solo-learn is installed but does not import: {error}.\n{MISSING}") from error
    if hasattr(base, "add_and_assert_specific_cfg"):
        repairs = importlib.import_module("amask_solo.hosts.current").CurrentRepairs
        return Host("current", "backbone", "momentum_backbone", base, repairs)
    repairs = importlib.import_module("amask_solo.hosts.release").ReleaseRepairs
    return Host("release", "encoder", "momentum_encoder", base, repairs)
