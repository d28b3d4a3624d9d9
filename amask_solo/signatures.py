"""Read the arguments and class variables of this package's classes from their source, since importing takes seconds.

Classes of other packages are not read here; they are imported and inspected (:mod:`amask_solo.configuration`).
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from amask_solo import rules

Definition = ast.ClassDef | ast.FunctionDef
ROOT = Path(__file__).parent
PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "None": NoneType}


class Arguments(NamedTuple):
    """The arguments of a class or function.

    Attributes:
        names: Their names, without ``self``.
        any_name: Whether it takes ``**kwargs``.
        plain: Name -> types, for the arguments that take only plain values (numbers, text, true and false, null).
    """

    names: frozenset[str]
    any_name: bool
    plain: dict[str, frozenset[type]]


@cache
def read_arguments(path: str) -> Arguments | None:
    """Return the arguments at a dotted path without importing it; ``None`` outside of this package.

    A class whose source shows no constructor is said to take any argument.

    Example:
        >>> sorted(read_arguments("amask_solo.projections.AreaBudget").names)
        ['area', 'sharpness']
    """
    found = _find(path)
    for module, node in _lineage(*found) if found else ():
        if isinstance(node, ast.FunctionDef):
            return _arguments(node, module, bound=False)
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                return _arguments(method, module, bound=True)
    return Arguments(frozenset(), True, {}) if found else None


@cache
def read_declared(path: str, name: str) -> Any:
    """Return the value of a variable of a class, or of the module of a function; ``None`` if there is no such variable.

    The value may consist of plain values and of the functions in :mod:`amask_solo.rules`.

    Example:
        >>> read_declared("amask_solo.evaluation.KNN", "needs")
        ('labels',)
    """
    found = _find(path)
    for module, node in _lineage(*found) if found else ():
        for line in node.body if isinstance(node, ast.ClassDef) else getattr(_parsed(module), "body", []):
            if not isinstance(line, ast.Assign | ast.AnnAssign) or line.value is None:
                continue
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                # The source is this package's own and can only use the rules.
                return eval(ast.unparse(line.value), {**vars(rules)})  # noqa: S307
    return None


def path_keys(path: str) -> tuple[str, ...]:
    """Return the arguments of a loader of images that say where these lie.

    Example:
        >>> path_keys("amask_solo.data.load_image_masks")
        ('images_path', 'masks_path', 'root', 'list', 'val_list')
    """
    return (*dict.fromkeys([*(read_declared(path, "FOLDERS") or ()), "root", "list", "val_list"]),)


def defining_module(path: str) -> str | None:
    """Return the module that defines a class or function of this package, wherever else its name is imported."""
    found = _find(path)
    return found[0] if found else None


@cache
def _parsed(module: str) -> ast.Module | None:
    top, *rest = module.split(".")
    place = ROOT.joinpath(*rest)
    files = [place / "__init__.py", place.with_name(f"{place.name}.py")]
    file = next((file for file in files if top == ROOT.name and file.is_file()), None)
    return ast.parse(file.read_bytes()) if file else None


def _find(path: str) -> tuple[str, Definition] | None:
    """Follow a name through imports to the module that defines it, and its definition there."""
    module, _, name = path.rpartition(".")
    tree = _parsed(module)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, Definition) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(f"{node.module}.{alias.name}")
    return None


def _lineage(module: str, node: Definition) -> Iterator[tuple[str, Definition]]:
    """Yield a definition and, for a class, the definitions of its bases in this package."""
    yield module, node
    for base in getattr(node, "bases", ()):
        if found := _find(f"{module}.{ast.unparse(base)}"):
            yield from _lineage(*found)


def _arguments(function: ast.FunctionDef, module: str, *, bound: bool) -> Arguments:
    given = function.args
    arguments = given.args[int(bound) :] + given.kwonlyargs
    plain = {argument.arg: types for argument in arguments if (types := _plain(argument.annotation))}
    names = frozenset(argument.arg for argument in arguments)
    onward, said = _passed_on(function, module)
    if (taker := read_arguments(onward)) is None:
        return Arguments(names, given.kwarg is not None, plain)
    passed = taker.names - said
    return Arguments(names | passed, taker.any_name, {k: v for k, v in taker.plain.items() if k in passed} | plain)


def _passed_on(function: ast.FunctionDef, module: str) -> tuple[str, set[str | None]]:
    """Return the dotted path of what gets the ``**kwargs`` of a function, and what else it is given there by name."""
    for call in ast.walk(function) if function.args.kwarg else ():
        words = {word.arg: ast.unparse(word.value) for word in call.keywords} if isinstance(call, ast.Call) else {}
        if isinstance(call, ast.Call) and function.args.kwarg and words.get(None) == function.args.kwarg.arg:
            return f"{module}.{ast.unparse(call.func)}", {*words}
    return "", set()


def _plain(annotation: ast.expr | None) -> frozenset[type]:
    """Return the types in an annotation; none unless all of them are plain."""
    names = ast.unparse(annotation).split(" | ") if annotation else [""]
    return frozenset(PLAIN[name] for name in names) if PLAIN.keys() >= set(names) else frozenset()
