"""Stand-ins for modules that the release of the host imports and that do not exist beside Lightning 2."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def stand_ins() -> Iterator[None]:
    """Put the stand-ins in place while the host is imported; no other package sees them."""
    # `pytorch_lightning` has its own Trainer and LightningModule, and `Trainer.fit` refuses a mixture of both packages.
    # Its submodule is listed too; otherwise Python would load it a second time.
    real = {
        "pytorch_lightning": "lightning.pytorch",
        "pytorch_lightning.callbacks": "lightning.pytorch.callbacks",
        "pl_bolts.optimizers.lr_scheduler": "amask_solo.hosts.optimizers",
    }
    # lightning-bolts is unmaintained and does not import beside Lightning 2. Python 3.12 has removed distutils, which
    # the host only uses for its argparse options.
    empty = ["pl_bolts", "pl_bolts.optimizers", *(["distutils"] if find_spec("distutils") is None else [])]
    modules = {name: importlib.import_module(path) for name, path in real.items()}
    modules |= {name: ModuleType(name) for name in empty}
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
