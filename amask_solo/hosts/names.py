"""The methods of the imported host, and what their masked versions are called."""

import sys

PREFIX = "amask_"
"""A masked method is called this, then the name of its base method."""

REGISTRY = "solo.methods"
NOT_METHODS = ("base", "linear")


def base_methods() -> dict[str, type]:
    """Return what the imported host has registered: its methods, not its base classes or our masked ones."""
    methods = sys.modules[REGISTRY].METHODS
    return {n: method for n, method in methods.items() if n not in NOT_METHODS and not n.startswith(PREFIX)}
