"""The installed host, found and imported."""

import importlib
from functools import cache

from amask_solo.errors import UserError
from amask_solo.hosts.aliases import stand_ins
from amask_solo.hosts.host import Host
from amask_solo.hosts.refusals import MISSING, refuse_missing


@cache
def load_host() -> Host:
    """Import the host and return it; the generation is told by what it can do, not by its version.

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
        return importlib.import_module("amask_solo.hosts.current").host()
    return importlib.import_module("amask_solo.hosts.release").host()
