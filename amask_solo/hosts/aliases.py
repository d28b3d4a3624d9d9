"""Stand-ins for what the release of the host imports, gone beside Lightning 2."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


def _stand_ins() -> dict[str, ModuleType]:
    """Return module name -> what the host gets when it imports that name."""
    # `pytorch_lightning` is a second package with its own Trainer and LightningModule; mixing the two fails in
    # `Trainer.fit`. Its submodules are named too, or Python would load them a second time.
    modules = {
        "pytorch_lightning": importlib.import_module("lightning.pytorch"),
        "pytorch_lightning.callbacks": importlib.import_module("lightning.pytorch.callbacks"),
    }
    # lightning-bolts is unmaintained and does not import beside Lightning 2.
    for name in ("pl_bolts", "pl_bolts.optimizers"):
        modules[name] = ModuleType(name)
    schedulers = importlib.import_module("amask_solo.hosts.schedulers")
    modules["pl_bolts.optimizers.lr_scheduler"] = schedulers
    if find_spec("distutils") is None:
        # Gone from Python 3.12's standard library; the host uses it for its argparse options alone.
        modules["distutils"] = ModuleType("distutils")
    return modules


@contextmanager
def stand_ins() -> Iterator[None]:
    """Put the stand-ins in place while the host is imported; no other package ever sees them."""
    modules = _stand_ins()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
