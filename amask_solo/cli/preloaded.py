"""Import the slowest modules of a run, for a process that others are forked from.

Nothing in here may start a thread or initialize a GPU, since neither survives a fork.
"""

import warnings
from contextlib import suppress

import amask_solo.runs.evaluate
import amask_solo.runs.pretrain  # noqa: F401 - only to have it in memory
from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host

with suppress(UserError), warnings.catch_warnings():
    # Warnings of the host are hidden as in a run. If the host is missing, the run itself explains that.
    warnings.simplefilter("ignore")
    load_host()
