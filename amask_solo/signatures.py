"""What a class or function takes, read from its source: to import a library for that takes seconds.

Whatever cannot be read so (a compiled module, a data class, a constructor made at run time) is ``None`` here, and left
to those who import it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import NamedTuple

Definition = ast.ClassDef | ast.FunctionDef
PLAIN = {"int": int, "float": float, "bool": bool, "str": str}


class Arguments(NamedTuple):
    """The arguments of a class or function.

    Attributes:
        names: Their names, without ``self``.
        any_name: Whether it takes further ones of any name.
        plain: Of those that take plain values alone (numbers, text, true and false, null): the types.
    """

    names: frozenset[str]
    any_name: bool
    plain: dict[str, frozenset[type]]


NOTHING = Arguments(frozenset(), False, {})
ROOTS = {"object": NOTHING, "ABC": NOTHING, "nn.Module": Arguments(frozenset(), True, {})}
"""Bases that say nothing about arguments, as classes name them."""


@cache
def read_arguments(path: str) -> Arguments | None:
    """Return what a dotted path takes, without importing it.

    Example:
        >>> sorted(read_arguments("amask_solo.projections.AreaBudget").names)
        ['area', 'sharpness']
    """
    module, _, name = path.rpartition(".")
    found = _find(module, name) if module else None
    return _arguments_of(*found) if found else None


def read_keys(module: str, name: str) -> tuple[str, ...] | None:
    """Return the texts in a list, or the keys of a dictionary, that a module or a class in it assigns to a name.

    Args:
        module: The dotted path of the module; it is not imported.
        name: The name of a variable.
    """
    tree = _parsed(module)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            value = node.value
            items = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", ())
            return tuple(item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str))
    return None


def find_source(module: str) -> Path | None:
    """Return the file of a module in Python, without importing it or the packages around it."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    files = [Path(spec.origin)] if spec.origin and not rest else []
    for folder in map(Path, spec.submodule_search_locations or ()):
        files += [
            folder.joinpath(*rest, "__init__.py"),
            *([folder.joinpath(*rest[:-1], f"{rest[-1]}.py")] if rest else []),
        ]
    return next((file for file in files if file.suffix == ".py" and file.is_file()), None)


@cache
def _parsed(module: str) -> ast.Module | None:
    file = find_source(module)
    try:
        return ast.parse(file.read_bytes()) if file else None
    except (SyntaxError, ValueError, OSError):
        return None


def _find(module: str, name: str, seen: tuple[tuple[str, str], ...] = ()) -> tuple[str, Definition] | None:
    """Follow a name through imports to the module that defines it, and its definition there."""
    tree = _parsed(module)
    if tree is None or (module, name) in seen:
        return None
    for node in _statements(tree.body):
        if isinstance(node, Definition) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(_origin(module, node), alias.name, (*seen, (module, name)))
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, the last first, those under conditions too."""
    for node in reversed(body):
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.orelse, *node.body])


def _origin(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    file = find_source(module)
    # In a package's `__init__` one dot is the package itself.
    up = node.level - (file is not None and file.name == "__init__.py")
    package = ".".join(module.split(".")[: -up or None])
    return f"{package}.{node.module}" if node.module else package


def _arguments_of(module: str, node: Definition) -> Arguments | None:
    if isinstance(node, ast.FunctionDef):
        return _arguments(node, bound=False)
    if node.decorator_list:
        return None
    methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
    if "__init__" in methods:
        return _arguments(methods["__init__"], bound=True)
    if "__new__" in methods:
        return None
    for base in map(ast.unparse, node.bases):
        found = _find(module, base)
        inherited = ROOTS.get(base) or (_arguments_of(*found) if found else None)
        if inherited is None or inherited.names or inherited.any_name:
            return inherited
    return NOTHING


def _arguments(function: ast.FunctionDef, *, bound: bool) -> Arguments:
    given = function.args
    arguments = [*given.posonlyargs, *given.args][int(bound) :] + given.kwonlyargs
    plain = {argument.arg: types for argument in arguments if (types := _plain(argument.annotation))}
    return Arguments(frozenset(argument.arg for argument in arguments), given.kwarg is not None, plain)


def _plain(annotation: ast.expr | None) -> frozenset[type]:
    """Return the types of an annotation; none if it is more than plain ones."""
    match annotation:
        case ast.Name(id=name) if name in PLAIN:
            return frozenset({PLAIN[name]})
        case ast.Constant(value=None):
            return frozenset({NoneType})
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            options = [_plain(left), _plain(right)]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            options = [_plain(inner), frozenset({NoneType})]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=elts)):
            options = [_plain(element) for element in elts]
        case _:
            return frozenset()
    return frozenset().union(*options) if all(options) else frozenset()
