"""Let the host's own scripts know ``method=amask_*``.

Hydra imports this module in every application; it does nothing unless the host has been imported by then.
"""

import sys

if "solo.methods" in sys.modules:
    from amask_solo.masked.registry import register

    register()
