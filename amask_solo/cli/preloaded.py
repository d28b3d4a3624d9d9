"""What runs take longest to import, for a process that others are forked from.

Nothing in here may start a thread or wake a GPU: neither survives a fork.
"""

import warnings
from contextlib import suppress

import amask_solo.runs.evaluate
import amask_solo.runs.pretrain  # noqa: F401 - only to have it in memory
from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host

with suppress(UserError), warnings.catch_warnings():
    # What the host does not say in a run; and a host that is missing is a mistake that the run itself explains.
    warnings.simplefilter("ignore")
    load_host()
