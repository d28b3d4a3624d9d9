"""The commands, which compose and check a configuration and carry it out."""

import sys
from importlib.util import find_spec

LACKING = [name for name in ("hydra", "lightning", "rich", "torchvision") if find_spec(name) is None]
if LACKING:
    # Only a command imports these modules, and they need the packages from their first line on.
    print(  # noqa: T201
        f"Error: the commands need packages that are not installed ({', '.join(LACKING)}); in a clone of this project, "
        "`pip install '.[run]' einops` and `pip install --no-deps solo-learn==1.0.2` install them. "
        "A training loop of your own needs neither: `from amask_solo import Adversary`.",
        file=sys.stderr,
    )
    sys.exit(2)
