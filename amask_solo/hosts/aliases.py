"""Stand-ins for modules that the release of the host imports and that do not exist beside Lightning 2."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


def _stand_ins() -> dict[str, ModuleType]:
    """Return module name -> the module that the host gets under it."""
    # `pytorch_lightning` has its own Trainer and LightningModule, and `Trainer.fit` refuses a mixture of both packages.
    # Its submodules are listed too; otherwise Python would load them a second time.
    modules = {
        "pytorch_lightning": importlib.import_module("lightning.pytorch"),
        "pytorch_lightning.callbacks": importlib.import_module("lightning.pytorch.callbacks"),
    }
    # lightning-bolts is unmaintained and does not import beside Lightning 2.
    for name in ("pl_bolts", "pl_bolts.optimizers"):
        modules[name] = ModuleType(name)
    modules["pl_bolts.optimizers.lr_scheduler"] = importlib.import_module("amask_solo.hosts.optimizers")
    if find_spec("distutils") is None:
        # Python 3.12 has removed it; the host only uses it for its argparse options.
        modules["distutils"] = ModuleType("distutils")
    return modules


@contextmanager
def stand_ins() -> Iterator[None]:
    """Put the stand-ins in place while the host is imported; no other package sees them."""
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
