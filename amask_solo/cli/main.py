"""What all commands share: check the command line, run, and print a user's mistake as one line."""

import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console

from amask_solo.cli.overrides import checked
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError


def command(config_name: str, run: Callable[[DictConfig], Any]) -> None:
    """Run a command with the configuration that the command line asks for.

    Args:
        config_name: The primary configuration, which lies in the folder of configuration files.
        run: What to do with it.
    """
    # Hydra prints errors in its own way, unless it is told to let them through.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        sys.argv[1:] = checked(config_name, sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(run)()
    except UserError as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
