"""The list of groups and their choices in ``--help``."""

import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

from amask_solo.configuration import config_folder
from amask_solo.hosts.registry import PREFIX

INDENT = 18
SHOWN = (
    "method",
    "data",
    "masker",
    "constraint",
    "fill",
    "update",
    "augmentations",
    "trainer",
    "logger",
    "adversary",
    "experiment",
)
"""The groups in the order in which one chooses; a group that is not named here follows them."""


def register_help() -> None:
    """Let the text of ``--help`` in a configuration file ask for the list."""
    OmegaConf.register_new_resolver("amask_groups", list_groups, replace=True)


def list_groups(chosen: Mapping[str, str | None]) -> str:
    """Return the groups with their choices, what is chosen marked by a star.

    Args:
        chosen: The present choice of each group.
    """
    folder = config_folder()
    groups = [p.name for p in folder.iterdir() if p.is_dir() and p.name != "hydra"]
    ordered = sorted(groups, key=lambda group: (SHOWN.index(group) if group in SHOWN else len(SHOWN), group))
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return "\n".join(_group(folder / group, chosen.get(group), width) for group in ordered)


def _group(folder: Path, chosen: str | None, width: int) -> str:
    names = {path.stem for path in folder.glob("*.yaml")}
    # Of a method and its masked version one is enough; the text above says so.
    shown = {name for name in names if name.removeprefix(PREFIX) not in names or name.removeprefix(PREFIX) == name}
    if chosen in names:
        shown = shown - {chosen.removeprefix(PREFIX)} | {chosen}
    ordered = sorted(shown, key=lambda name: name.removeprefix(PREFIX))
    choices = ", ".join(f"{name}*" if name == chosen else name for name in ordered)
    lines = textwrap.wrap(choices, width - INDENT, break_on_hyphens=False, break_long_words=False)
    indent = " " * INDENT
    return f"  {folder.name}".ljust(INDENT) + f"\n{indent}".join(lines)
