"""The commands that follow a run, as they can be typed."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from amask_solo.cli.overrides import choice_names, config_folders
from amask_solo.comparison.plan import GAME
from amask_solo.hosts.names import TIMM_NAMES, is_timm
from amask_solo.layout import PREFIX

OF_ONE_RUN = ("method", "name", "seed", "run_folder", "resume", "overwrite", "logger")
"""Keys and groups that the runs of a comparison do not share."""


def next_steps(cfg: DictConfig, folder: Path, *, labeled: bool) -> str:
    """Return a text with the next commands for a run, each of which works as it is.

    Images that are not ``labeled`` give no scores.
    """
    from amask_solo.visualization.panels import drawn_panels

    pictures = drawn_panels(folder)
    known = is_timm(cfg.backbone.name) or cfg.backbone.name in TIMM_NAMES
    steps = {"look": f"{folder}/report.html, a page for the browser" + (f"; {pictures[-1]}" if pictures else "")}
    if labeled:
        steps["evaluate"] = shell(["amask-evaluate", f"ckpt={folder}"])
        if compare := _comparison(cfg):
            steps["compare"] = shell(compare)
    steps["export"] = shell(["amask-export", f"ckpt={folder}", f"format={'timm' if known else 'safetensors'}"])
    if not labeled:
        steps["evaluate"] = "amask-evaluate --help  # it scores on labeled images, which data=... names"
    return "Next\n" + "\n".join(f"  {name:<10}{what}" for name, what in steps.items())


def shell(words: Sequence[str]) -> str:
    """Return a command as a shell reads it; bytes that are no text are spelled as bash does."""
    return " ".join(_spelled(word) if re.search("[\udc80-\udcff]", word) else shlex.quote(word) for word in words)


def _spelled(word: str) -> str:
    plain = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:x}", plain) + "'"


def _comparison(cfg: DictConfig) -> list[str]:
    """Return the command that compares stock with the run's own arm; empty if there is no such command."""
    hydra: Any = HydraConfig.get()
    folders = _folders(hydra)
    base = cfg.method.removeprefix(PREFIX)
    # An experiment may take another recipe than the method of this name has.
    if hydra.runtime.choices.method != cfg.method or not {base, PREFIX + base} <= {
        *choice_names("method", config_folders(folders))
    }:
        return []
    own, shared = [], []
    for word in _words(hydra.overrides.task):
        key, _, value = word.partition("=")
        top = re.split("[.@]", key.removeprefix("~").replace("/", "."))[0]
        if top in GAME:
            own.append(f"{key}: {value}")
        elif top not in OF_ONE_RUN:
            shared.append(word)
    if any(text.startswith("~") for text in own):
        return []  # an arm only adds settings
    mine = ["arms=[stock,mine]", f"+definitions.mine={{{', '.join(own)}}}"] if cfg.method.startswith(PREFIX) else []
    return ["amask-compare", *folders, f"base=[{base}]", *mine, *shared]


def _words(typed: Sequence[str]) -> Iterator[str]:
    """Yield settings as they were typed, before they were checked."""
    for place, word in enumerate(typed):
        plain = word.lstrip("+")
        key, _, value = plain.partition("=")
        replaced = value == "null" and any(later.startswith(f"++{key}=") for later in typed[place + 1 :])
        if replaced:
            continue  # this made room for another target
        text = re.fullmatch(r"'([^'\\]*)'", value)
        yield f"{key}={text[1]}" if text and "," not in value else plain


def _folders(hydra: DictConfig) -> list[str]:
    """Return the arguments that name the user's folders of configuration files."""
    named = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    searched = [word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath=")]
    return [*(word for path in named for word in ("--config-dir", os.path.relpath(path))), *searched]
