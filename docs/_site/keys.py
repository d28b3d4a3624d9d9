"""Write the tables of keys into the pages of docs/configuration, from configs/, the constructors and the rules.

    python -m docs._site.keys           # after a change of a key, a default, a rule or a docstring; a test compares

A page has a place for each table, from ``<!-- KIND: ... -->`` to ``<!-- end -->``; the kinds are the functions of
:data:`KINDS`. All text around them is written by hand.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import griffe
import yaml

from amask_solo.cli import comparison
from amask_solo.layout import PARTS
from amask_solo.rules import Rule
from amask_solo.settings import evaluation, pretraining, trainer
from amask_solo.signatures import read_declared

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "configuration").glob("*.md"))
PLACE = re.compile(r"<!-- (\w+): (.+?) -->\n.*?<!-- end -->", re.DOTALL)
RULES: dict[str, Mapping[str, Rule]] = {
    "pretrain": pretraining.RULES | pretraining.IF_THERE | {f"trainer.{key}": r for key, r in trainer.RULES.items()},
    "evaluate": evaluation.EVALUATION,
    "export": evaluation.EXPORT,
    "compare": comparison.RULES,
}
LINE = re.compile(r"^((?: |- )*)(\w+):(?: +([^#\s].*?))?(?: +# (.*))?$", re.MULTILINE)
NOT_KEYS = ("defaults", "hydra", "definitions")
FILLED_IN = ("self", "params", "game", "in_channels", "out_channels", "save_dir")
"""Arguments that no configuration gives."""

REQUIRED = "must be given"
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "null",
    "Any": "anything",
    "NetworkFactory": "a network, `_partial_: true`",
    "OptimizerFactory": "an optimizer, `_partial_: true`",
    "HardNegatives": "hard negatives",
}
"""Annotations in words; the others are the name of a part."""


class Row(NamedTuple):
    """A key: what it may be, its default for each choice that has it, and what it means."""

    key: str
    kind: str
    defaults: dict[str, str]
    meaning: str


def fill(page: str) -> str:
    """Return the text of a page with its tables made anew."""

    def table(place: re.Match[str]) -> str:
        kind, words = place[1], place[2]
        return f"<!-- {kind}: {words} -->\n\n{KINDS[kind](*words.split())}\n\n<!-- end -->"

    return PLACE.sub(table, page)


def choices(group: str) -> str:
    """Return a table of the choices of a group, with the comment at the top of each file."""
    rows = [f"| `{name}` | {_comment(path)} |" for name, path in _files(group).items() if not name.startswith("amask_")]
    return "\n".join([f"| `{group}=` | what it is |", "| --- | --- |", *rows])


def arguments(prefix: str, *paths: str) -> str:
    """Return a table of the arguments of classes or functions; those of one name share a row."""
    rows: dict[str, Row] = {}
    for path in paths:
        found = _definition(path)
        for name, (annotation, default) in _parameters(found).items():
            rule = (read_declared(path, "rules") or {}).get(name) or _rule(RULES["pretrain"], f"{prefix}.{name}")
            kind = _ruled(rule) if rule else _words(ast.parse(str(annotation), mode="eval").body, found)
            row = rows.setdefault(name, Row(name, kind, {}, _meanings(found).get(name, "")))
            for owner, node in _owners(path).items():
                chosen = _code(PARTS[name] or "none") if prefix == "adversary" and name in PARTS else None
                row.defaults[owner] = chosen or (_value(node[name]) if name in node else _default(default, found))
    return _table(prefix, rows.values(), {owner for path in paths for owner in _owners(path)})


def keys(where: str, *nodes: str) -> str:
    """Return a table of the keys in a file of configs/, or in all of a folder, with the first comment on each.

    Args:
        where: The file without its ending, or the folder; the keys of a folder stand below its name.
        nodes: The keys at the top to take, in place of all; those of a folder stand where the files put them.
    """
    folder = (ROOT / "configs" / where).is_dir()
    files = _files(where) if folder else {"": ROOT / "configs" / f"{where}.yaml"}
    files = {name: path for name, path in files.items() if "/" not in name and not name.startswith("amask_")}
    rows: dict[str, Row] = {}
    for name, path in files.items():
        for key, value, comment in _lines(path):
            if nodes and key.split(".")[0] not in nodes:
                continue
            full = f"{where}.{key}" if folder and not nodes else key
            rule = _rule(RULES.get(where, RULES["pretrain"]), full)
            kind = _ruled(rule) if rule else TYPES.get(type(yaml.safe_load(value)).__name__, "")
            row = rows.setdefault(full, Row(full, kind, {}, comment))
            rows[full] = row._replace(meaning=row.meaning or comment)
            row.defaults[name] = REQUIRED if value == "???" else _code(value)
    return _table("", rows.values(), set(files))


KINDS = {"choices": choices, "arguments": arguments, "keys": keys}


def _table(prefix: str, rows: Any, owners: set[str]) -> str:
    above = f"`{prefix}.` " if prefix else ""
    lines = [f"| {above}key | what it may be | default | meaning |", "| --- | --- | --- | --- |"]
    for row in rows:
        by_value: dict[str, list[str]] = {}
        for owner, value in row.defaults.items():
            by_value.setdefault(value, []).append(owner)
        # A default that holds for all needs no names.
        everywhere = len(by_value) == 1 and set(row.defaults) == owners
        default = "; ".join(v if everywhere else f"{v}: {', '.join(names)}" for v, names in by_value.items())
        cells = (f"`{row.key}`", row.kind, default, row.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


@cache
def _files(group: str) -> dict[str, Path]:
    folder = ROOT / "configs" / group
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    return {name: path for name, path in found.items() if not name.startswith("shared/")}


def _comment(path: Path) -> str:
    lines = path.read_text().splitlines()
    lines = lines[1:] if lines[0].startswith("# @package") else lines
    return _cell(" ".join(line[2:] for line in lines[: next(n for n, line in enumerate(lines) if line[:1] != "#")]))


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the dotted key, value and comment of each line of a file that has a value."""
    above: list[tuple[int, str]] = []
    for indent, name, value, comment in LINE.findall(path.read_text()):
        above = [(depth, node) for depth, node in above if depth < len(indent)]
        dotted = ".".join([*(node for _, node in above), name])
        if not value:
            above.append((len(indent), name))
        elif name != "_target_" and dotted.split(".")[0] not in NOT_KEYS:
            yield dotted, value, _cell(comment)


@cache
def _package() -> Any:
    return griffe.load("amask_solo", search_paths=[str(ROOT)])


def _definition(path: str) -> Any:
    found = _package()[path.removeprefix("amask_solo.")]
    return found.final_target if found.is_alias else found


def _parameters(found: Any) -> dict[str, tuple[Any, Any]]:
    """Return the annotation and the default of each argument that a configuration can give."""
    if found.is_class:
        found = found.all_members.get("__init__")
        found = found.final_target if found is not None and found.is_alias else found
    given = [] if found is None else found.parameters
    return {p.name: (p.annotation, p.default) for p in given if p.name not in FILLED_IN and "var" not in str(p.kind)}


def _meanings(found: Any) -> dict[str, str]:
    sections = found.docstring.parse("google", warn_unknown_params=False) if found.docstring else []
    return {item.name: _cell(item.description) for s in sections if s.kind.value == "parameters" for item in s.value}


def _owners(path: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the choices that build this class or function, with their content; else its own name, without any."""
    return _built().get(_definition(path).path) or {path.rpartition(".")[2]: {}}


@cache
def _built() -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in sorted((ROOT / "configs").glob("*/*.yaml")):
        if re.search(r"^_target_:", text := path.read_text(), re.MULTILINE):
            node = yaml.safe_load(text)
            found.setdefault(_definition(node["_target_"]).path, {})[path.stem] = node
    return found


def _rule(rules: Mapping[str, Rule], key: str) -> Rule | None:
    return next((rule for pattern, rule in rules.items() if fnmatchcase(key, pattern)), None)


def _ruled(rule: Rule) -> str:
    return rule.what.replace(", of names with at most 255 bytes", "").replace("None", "null")


def _words(node: ast.expr, scope: Any) -> str:
    """Return an annotation in words."""
    match node:
        case ast.BinOp():
            words = f"{_words(node.left, scope)}, or {_words(node.right, scope)}"
        case ast.Subscript(value=ast.Name("Literal"), slice=ast.Tuple(elts)):
            words = " or ".join(_value(ast.literal_eval(element)) for element in elts)
        case ast.Subscript(value=ast.Name("Sequence"), slice=inner):
            words = f"a list, each {_words(inner, scope)}"
        case ast.Subscript(value=ast.Name("Mapping"), slice=ast.Tuple([_, inner])):
            words = f"by name, each {_words(inner, scope)}"
        case _:
            words = _word(ast.unparse(node), scope)
    return words


def _word(name: str, scope: Any) -> str:
    if name in TYPES:
        return TYPES[name]
    meant = str(getattr(_named(name, scope), "value", ""))
    if meant.startswith("Literal"):
        return _words(ast.parse(meant, mode="eval").body, scope)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _named(name: str, scope: Any) -> Any:
    """Return what a name in the source means, if it is of this package."""
    try:
        return _definition(scope.module.resolve(name))
    except (griffe.NameResolutionError, KeyError):
        return None


def _default(default: Any, scope: Any) -> str:
    if default is None:
        return REQUIRED
    meant = _named(str(default), scope) if str(default).isidentifier() else None
    text = str(getattr(meant, "value", None) or default)
    try:
        return _value(ast.literal_eval(text))
    except ValueError:
        return _code(text)


def _value(value: Any) -> str:
    if value == "???":
        return REQUIRED
    if isinstance(value, dict) and "_target_" in value:
        value = value["_target_"].rpartition(".")[2]
    if isinstance(value, list | tuple):
        return _code("[" + ", ".join(_value(entry).strip("`") for entry in value) + "]")
    plain = {None: "null", True: "true", False: "false", "": '""'}
    return _code(plain[value] if type(value) in (bool, type(None)) or value == "" else str(value))


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    """Return a docstring or comment as the text of a cell, without reStructuredText."""
    text = re.sub(r":(?:class|func|meth|mod|data):`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text.replace("``", "`"))
    text = re.sub(r":math:`\\(\w+)`", lambda found: unescape(f"&{found[1]};"), text)
    text = re.sub(r":math:`(\w+)`", r"*\1*", text)
    text = re.sub(r"`\"(\w+)\"`", r"`\1`", text).replace("`None`", "`null`")
    text = re.sub(r"[;,] see\s+`\w+`", "", text)
    return " ".join(re.sub(r"`([^`<]+) <(https?://[^>]+)>`_", r"[\1](\2)", text).split())


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(fill(path.read_text()))
