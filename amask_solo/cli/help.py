"""The list of groups and their choices in ``--help``."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import config_folder
from amask_solo.layout import PARTS, PREFIX

INDENT = 18
SHOWN = (
    "method",
    "data",
    *PARTS,
    "localiser",
    "augmentations",
    "view_filter",
    "trainer",
    "logger",
    "adversary",
    "experiment",
)
"""The groups of amask-pretrain, in the order of ``--help``."""


def register_help() -> None:
    """Register the resolver by which the text of ``--help`` in a configuration file includes the list."""
    OmegaConf.register_new_resolver("amask_groups", list_groups, replace=True)


def list_groups(chosen: Mapping[str, str | None], groups: Sequence[str] = SHOWN, *, _root_: DictConfig) -> str:
    """Return a text of groups with their choices; present choices have a star.

    Args:
        chosen: The present choice of each group.
        groups: The groups to list, in order.
        _root_: The configuration, which has a node for each choice of a group that takes several.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    present = {group: {chosen[group]} if group in chosen else set(_root_.get(group) or ()) for group in groups}
    return "\n".join(_group(config_folder() / group, present[group], width) for group in groups)


def _group(folder: Path, present: set[str | None], width: int) -> str:
    names = {path.stem for path in folder.glob("*.yaml")}
    # The masked version of a method is not listed; the text above the list mentions it.
    shown = {name for name in names if name.removeprefix(PREFIX) not in names or name.removeprefix(PREFIX) == name}
    chosen = {name for name in present if name in names}
    shown = shown - {name.removeprefix(PREFIX) for name in chosen} | chosen
    ordered = sorted(shown, key=lambda name: name.removeprefix(PREFIX))
    choices = ", ".join(f"{name}*" if name in chosen else name for name in ordered)
    lines = textwrap.wrap(choices, width - INDENT, break_on_hyphens=False, break_long_words=False)
    indent = " " * INDENT
    return f"  {folder.name}".ljust(INDENT) + f"\n{indent}".join(lines)
