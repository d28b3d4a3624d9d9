"""Read keys, defaults and meanings from configs/ and from the constructors of the package, without importing these."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import griffe
import yaml

from amask_solo.signatures import read_arguments

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
NOT_KEYS = ("defaults", "hydra", "definitions")
"""Nodes of configs/ that are Hydra's, or what a user names."""

FILLED_IN = ("self", "params", "game", "in_channels", "out_channels", "save_dir")
"""Arguments that no configuration gives."""

LOADERS = (
    "amask_solo.data.load_image_folder",
    "amask_solo.data.file_images.load_files",
    "amask_solo.data.assemble.assemble",
)
"""What loaders of images pass their further arguments on to."""

REQUIRED = "must be given"
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "null",
    "dict": "keys and values",
    "list": "a list",
    "NetworkFactory": "a network, `_partial_: true`",
    "OptimizerFactory": "an optimizer, `_partial_: true`",
    "HardNegatives": "hard negatives",
}
"""Annotations in words; the others are the name of a part."""

_LINE = re.compile(r"^((?: |- )*)(\w+):(?: +([^#\s].*?))?(?: +# (.*))?$", re.MULTILINE)


class Argument(NamedTuple):
    """An argument of a constructor, in words."""

    kind: str
    default: str
    meaning: str


@cache
def choice_files(group: str) -> dict[str, Path]:
    """Return the files of a group by the name of the choice, without those that others share."""
    folder = CONFIGS / group
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    return {name: path for name, path in found.items() if not name.startswith(("shared/", "amask_"))}


def top_comment(path: Path) -> str:
    """Return what a configuration file says of itself."""
    comment = re.match(r"(?:# @package .*\n)?((?:#.*\n)*)", path.read_text())
    return cell(re.sub(r"^# ", "", comment[1], flags=re.MULTILINE)) if comment else ""


def read_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the dotted key, value and comment of each line of a file that has a value."""
    above: list[tuple[int, str]] = []
    for indent, name, value, comment in _LINE.findall(path.read_text()):
        above = [(depth, node) for depth, node in above if depth < len(indent)]
        dotted = ".".join([*(node for _, node in above), name])
        if not value:
            above.append((len(indent), name))
        elif name != "_target_" and dotted.split(".")[0] not in NOT_KEYS:
            yield dotted, value, cell(comment)


def arguments_of(path: str) -> dict[str, Argument]:
    """Return the arguments of a class or function that a configuration can give, with those that it passes on."""
    known, own = read_arguments(path), _own_arguments(path)
    passed = known.names - own.keys() - {*FILLED_IN} if known else ()
    others = {name: argument for taker in reversed(LOADERS) for name, argument in _own_arguments(taker).items()}
    return own | {name: argument for name, argument in others.items() if name in passed}


def _own_arguments(path: str) -> dict[str, Argument]:
    found = _definition(path)
    function = _end(found.all_members.get("__init__")) if found.is_class else found
    sections = found.docstring.parse("google", warn_unknown_params=False) if found.docstring else []
    meanings = {
        item.name: item.description for part in sections if part.kind.value == "parameters" for item in part.value
    }
    return {
        p.name: Argument(
            _in_words(ast.parse(str(p.annotation), mode="eval").body, found),
            _default(p.default, found),
            cell(meanings.get(p.name, "")),
        )
        for p in (function.parameters if function else ())
        if p.name not in FILLED_IN and "var" not in str(p.kind)
    }


def owners(path: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the choices that build this class or function, with their content; else its own name, without any."""
    return _built().get(_definition(path).path) or {path.rpartition(".")[2]: {}}


def targets(group: str) -> list[str]:
    """Return the dotted paths that the files of a group build."""
    nodes = (yaml.safe_load(path.read_text()) for path in choice_files(group).values())
    return list(dict.fromkeys(node["_target_"] for node in nodes if "_target_" in node))


def shown(value: Any) -> str:
    """Return a value as one writes it, a node by the name of its class."""
    if value == "???":
        return REQUIRED
    if isinstance(value, dict) and "_target_" in value:
        value = value["_target_"].rpartition(".")[2]
    elif isinstance(value, dict):
        value = "{" + ", ".join(f"{name}: {shown(entry).strip('`')}" for name, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        value = "[" + ", ".join(shown(entry).strip("`") for entry in value) + "]"
    plain = {None: "null", True: "true", False: "false"}
    return f"`{plain[value] if type(value) in (bool, type(None)) else value}`"


def cell(text: str) -> str:
    """Return a docstring or comment as the text of a cell, without reStructuredText.

    Example:
        >>> cell("See :func:`~amask_solo.occlusion.occlude`; ``None`` is 2.")
        'See `occlude`; `null` is 2.'
    """
    text = re.sub(r":(?:class|func|meth|mod|attr|data):`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text.replace("``", "`"))
    text = re.sub(r":math:`\\(\w+)`", lambda found: unescape(f"&{found[1]};"), text)
    text = re.sub(r":math:`(\w+)`", r"*\1*", text)
    text = re.sub(r"`\"(\w+)\"`", r"`\1`", text).replace("`None`", "`null`")
    text = re.sub(r"[;,] see\s+`\w+`", "", text)
    return " ".join(re.sub(r"`([^`<]+) <(https?://[^>]+)>`_", r"[\1](\2)", text).split())


@cache
def _package() -> Any:
    return griffe.load("amask_solo", search_paths=[str(ROOT)])


def _definition(path: str) -> Any:
    return _end(_package()[path.removeprefix("amask_solo.")])


def _end(found: Any) -> Any:
    return found.final_target if found is not None and found.is_alias else found


@cache
def _built() -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in sorted(CONFIGS.glob("*/*.yaml")):
        if re.search(r"^_target_:", text := path.read_text(), re.MULTILINE):
            node = yaml.safe_load(text)
            found.setdefault(_definition(node["_target_"]).path, {})[path.stem] = node
    return found


def _in_words(node: ast.expr, scope: Any) -> str:
    match node:
        case ast.BinOp():
            words = f"{_in_words(node.left, scope)}, or {_in_words(node.right, scope)}"
        case ast.Subscript(value=ast.Name("Literal"), slice=ast.Tuple(elts)):
            words = " or ".join(shown(ast.literal_eval(element)) for element in elts)
        case ast.Subscript(value=ast.Name("Sequence"), slice=inner):
            words = f"a list, each {_in_words(inner, scope)}"
        case ast.Subscript(value=ast.Name("Mapping"), slice=ast.Tuple([_, ast.Name("Any")])):
            words = TYPES["dict"]
        case ast.Subscript(value=ast.Name("Mapping"), slice=ast.Tuple([_, inner])):
            words = f"by name, each {_in_words(inner, scope)}"
        case _:
            words = _word(ast.unparse(node), scope)
    return words


def _word(name: str, scope: Any) -> str:
    if name in TYPES:
        return TYPES[name]
    meant = str(getattr(_named(name, scope), "value", ""))
    if meant.startswith("Literal"):
        return _in_words(ast.parse(meant, mode="eval").body, scope)
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
        return shown(ast.literal_eval(text))
    except ValueError:
        return f"`{text}`"
