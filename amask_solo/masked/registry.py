"""Register the masked version of every method as ``METHODS["amask_<name>"]`` as soon as the host is imported."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from amask_solo.hosts.methods import REGISTRY, base_methods
from amask_solo.layout import PREFIX


def register() -> None:
    """Add ``amask_<name>`` to the host's ``METHODS`` for each of its methods; a second call changes nothing.

    Raises:
        UserError: If the host is not installed.
    """
    from amask_solo.hosts.installed import load_host

    load_host()
    for name, method in base_methods().items():
        sys.modules[REGISTRY].METHODS.setdefault(PREFIX + name, _masked(method))


def register_when_imported() -> None:
    """Call :func:`register` now if the host has been imported, otherwise right after its import."""
    if REGISTRY in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def _masked(base: type) -> Any:
    from amask_solo.errors import UserError
    from amask_solo.masked.method import wrap

    try:
        return wrap(base)
    except UserError as error:
        message = str(error)

        def refuse(cfg: Any) -> None:  # noqa: ARG001 - the signature of a method
            raise UserError(message)

        return refuse


class _AfterImport(MetaPathFinder):
    """Find the host as usual, but let :class:`_Registering` load it."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in ("solo", REGISTRY) else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader)
        return spec


class _Registering(Loader):
    """Load a module by its own loader, with stand-ins for the release's missing imports; then register."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from amask_solo.hosts.aliases import stand_ins

        with stand_ins():
            self.loader.exec_module(module)
        if module.__name__ == REGISTRY:
            register()
