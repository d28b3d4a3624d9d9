"""Call a command as a user does, within the process of the tests."""

import contextlib
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from hydra.core.singleton import Singleton

TINY = [
    "data=shapes",
    "data.num_train=16",
    "data.num_val=8",
    "data.image_size=32",
    "stem=imagenet",
    "optimizer.batch_size=8",
    "trainer=cpu",
    "max_epochs=1",
]
"""Settings with which any method trains in seconds."""

HEADS = [f"method_kwargs.{name}=16" for name in ("proj_hidden_dim", "proj_output_dim", "pred_hidden_dim")]
"""Small projector and predictor, of methods that have both."""

NARROW = ["backbone.name=timm/resnet18", "backbone.kwargs.channels=[16,16,16,16]"]
"""A backbone that trains, and is saved, in a third of the time."""

SMALL = [*NARROW, *HEADS]
BARE = ["online_knn=0", "mask_panels=0"]
"""Without what is measured and pictured beside the training."""


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def call(name: str, *argv: str, cwd: Path) -> Said:
    """Run ``amask-<name>`` in a working directory; a bug is raised."""
    main = import_module(f"amask_solo.cli.{name}").main
    out, err, code, hydra = io.StringIO(), io.StringIO(), 0, Singleton.get_state()
    before = Path.cwd()
    with contextlib.ExitStack() as stack:
        stack.callback(Singleton.set_state, hydra)
        stack.callback(os.chdir, before)
        stack.enter_context(mock.patch.object(sys, "argv", [f"amask-{name}", *argv]))
        stack.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        os.chdir(cwd)
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Said(code, out.getvalue(), err.getvalue())


def pretrain(*argv: str, cwd: Path) -> Said:
    """Run ``amask-pretrain`` with tiny settings."""
    return call("pretrain", *TINY, *argv, cwd=cwd)
