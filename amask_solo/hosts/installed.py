"""The installed host, found and imported."""

import importlib
from functools import cache
from importlib.util import find_spec

from amask_solo.errors import UserError
from amask_solo.hosts.aliases import stand_ins
from amask_solo.hosts.host import Host

MISSING = """\
solo-learn, the host of this plugin, is not installed. Install it in one of three ways:
  1. uv:     `make install`, or `uv pip install ".[host]"` in a clone of this project, whose
             pyproject lifts the host's old pins.
  2. pip:    `pip install . einops`, then `pip install --no-deps solo-learn==1.0.2`.
  3. GitHub: clone https://github.com/vturrisi/solo-learn, then put the clone on PYTHONPATH, or
             `PIP_CONSTRAINT=<file with the line "setuptools<81"> pip install --no-deps <clone>`."""


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
