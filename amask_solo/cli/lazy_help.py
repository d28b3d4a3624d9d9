"""Let Hydra 1.3 make the parser of its command line on Python 3.14."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

COMPLETION = "Install or uninstall shell completion"


@contextmanager
def lazy_help() -> Iterator[None]:
    """Replace each help that is an object by a text, in the parsers that are made meanwhile.

    Python 3.14 reads a help text when it is added, and refuses the object by which Hydra puts off the one about shell
    completion (`hydra#3121 <https://github.com/facebookresearch/hydra/issues/3121>`_). To be removed when Hydra's
    oldest supported version has no such object.
    """
    add = argparse.ArgumentParser.add_argument

    def add_argument(parser: argparse.ArgumentParser, *names: str, **options: Any) -> argparse.Action:
        if not isinstance(options.get("help"), str | None):
            options["help"] = COMPLETION
        return add(parser, *names, **options)

    with patch.object(argparse.ArgumentParser, "add_argument", add_argument):
        yield
