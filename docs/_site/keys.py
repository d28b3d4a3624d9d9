"""Write the tables of keys into the pages of docs/configuration, from configs/, the constructors and the rules.

    python -m docs._site.keys           # after a change of a key, a default, a rule or a docstring; a test compares

A page has a place for each table, from ``<!-- KIND: ... -->`` to ``<!-- end -->``; the kinds are the functions of
:data:`KINDS`. All text around them is written by hand.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import yaml

from amask_solo.cli import comparison
from amask_solo.layout import PARTS
from amask_solo.rules import Rule
from amask_solo.settings import evaluation, pretraining, trainer
from amask_solo.signatures import read_declared
from docs._site.sources import (
    CONFIGS,
    REQUIRED,
    ROOT,
    TYPES,
    arguments_of,
    choice_files,
    owners,
    read_lines,
    shown,
    targets,
    top_comment,
)

PAGES = [*sorted((ROOT / "docs" / "configuration").glob("*.md")), ROOT / "docs" / "gallery.md"]
PLACE = re.compile(r"<!-- (\w+): (.+?) -->\n.*?<!-- end -->", re.DOTALL)
MOST = 8
"""The most choices that a table names beside a default, and more values than it shows for a key."""

LONGEST = 300
"""The most characters of the defaults of a key; longer ones are left to the files."""

RULES: dict[str, Mapping[str, Rule]] = {
    "pretrain": pretraining.RULES | pretraining.IF_THERE | {f"trainer.{key}": r for key, r in trainer.RULES.items()},
    "evaluate": evaluation.EVALUATION,
    "export": evaluation.EXPORT,
    "compare": comparison.RULES,
}


class Row(NamedTuple):
    """A key: what it may be, its default for each choice that has it, and what it means."""

    key: str
    kind: str
    defaults: dict[str, str]
    meaning: str


def fill(page: str) -> str:
    """Return the text of a page with its tables made anew."""

    def made(place: re.Match[str]) -> str:
        kind, given = place[1], place[2]
        return f"<!-- {kind}: {given} -->\n\n{KINDS[kind](*given.split())}\n\n<!-- end -->"

    return PLACE.sub(made, page)


def choices(group: str) -> str:
    """Return a table of the choices of a group, with the comment at the top of each file."""
    rows = [f"| `{name}` | {top_comment(path)} |" for name, path in choice_files(group).items()]
    return "\n".join([f"| `{group}=` | what it is |", "| --- | --- |", *rows])


def pictures(group: str) -> str:
    """Return the choices of a group of which the gallery has a picture, each with it."""
    found = {name: f"results/gallery/{group}_{name}.png" for name in choice_files(group)}
    return "\n\n".join(
        f"`{group}={name}`: {top_comment(CONFIGS / group / f'{name}.yaml')}\n\n![{group}={name}](../{picture})"
        for name, picture in found.items()
        if (ROOT / picture).is_file()
    )


def arguments(prefix: str, *given: str) -> str:
    """Return a table of the arguments of classes or functions; those of one name share a row.

    Args:
        prefix: The node that they are arguments of.
        given: Dotted paths; ``GROUP/*`` is what the files of a group build.
    """
    rows: dict[str, Row] = {}
    paths = list(
        dict.fromkeys(path for word in given for path in (targets(word[:-2]) if word[-2:] == "/*" else [word]))
    )
    for path in paths:
        for name, argument in arguments_of(path).items():
            rule = (read_declared(path, "rules") or {}).get(name) or _rule(RULES["pretrain"], f"{prefix}.{name}")
            row = rows.setdefault(name, Row(name, _words(rule) or argument.kind, {}, argument.meaning))
            default = f"`{PARTS[name] or 'none'}`" if prefix == "adversary" and name in PARTS else argument.default
            for owner, node in owners(path).items():
                row.defaults[owner] = shown(node[name]) if name in node else default
    return _table(prefix, rows.values(), {owner for path in paths for owner in owners(path)})


def keys(where: str, *nodes: str) -> str:
    """Return a table of the keys in a file of configs/, or in all of a folder, with the first comment on each.

    Args:
        where: The file without its ending, or the folder; the keys of a folder stand below its name.
        nodes: The keys at the top to take, in place of all; those of a folder stand where the files put them.
    """
    folder = (CONFIGS / where).is_dir()
    files = choice_files(where) if folder else {"": CONFIGS / f"{where}.yaml"}
    files = {name: path for name, path in files.items() if "/" not in name}
    rows: dict[str, Row] = {}
    for name, path in files.items():
        for key, value, comment in read_lines(path):
            if nodes and key.split(".")[0] not in nodes:
                continue
            full = f"{where}.{key}" if folder and not nodes else key
            kind = _words(_rule(RULES.get(where, RULES["pretrain"]), full))
            kind = kind or TYPES.get(type(yaml.safe_load(value)).__name__, "")
            row = rows.setdefault(full, Row(full, kind, {}, comment))
            rows[full] = row._replace(meaning=row.meaning or comment)
            row.defaults[name] = REQUIRED if value == "???" else f"`{value}`"
    return _table("", rows.values(), set(files))


KINDS = {"choices": choices, "pictures": pictures, "arguments": arguments, "keys": keys}


def _table(prefix: str, rows: Iterable[Row], everyone: set[str]) -> str:
    above = f"`{prefix}.` " if prefix else ""
    lines = [f"| {above}key | what it may be | default | meaning |", "| --- | --- | --- | --- |"]
    for row in rows:
        by_value: dict[str, list[str]] = {}
        for owner, value in row.defaults.items():
            by_value.setdefault(value, []).append(owner)
        # A default that holds for all needs no names.
        plain = len(by_value) == 1 and set(row.defaults) == everyone
        default = "; ".join(value if plain else f"{value}: {_some(names)}" for value, names in by_value.items())
        default = default if len(by_value) < MOST and len(default) <= LONGEST else "by choice"
        cells = (f"`{row.key}`", row.kind, default, row.meaning)
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(lines)


def _some(names: list[str]) -> str:
    """Return names, of very many the first ones."""
    return (
        ", ".join(names) if len(names) <= MOST else f"{', '.join(names[: MOST - 2])} and {len(names) - MOST + 2} more"
    )


def _rule(rules: Mapping[str, Rule], key: str) -> Rule | None:
    return next((rule for pattern, rule in rules.items() if fnmatchcase(key, pattern)), None)


def _words(rule: Rule | None) -> str:
    return rule.what.replace(", of names with at most 255 bytes", "").replace("None", "null") if rule else ""


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(fill(path.read_text()))
