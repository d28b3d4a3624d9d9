"""The interface to solo-learn, whichever generation of it is installed."""

from collections.abc import Callable
from dataclasses import dataclass

from amask_solo.errors import unknown_key
from amask_solo.hosts.refusals import refuse_only_current


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
        refuse_only_current(name, methods)
        raise unknown_key(name, methods, f"the methods of the host ({self.generation})")
