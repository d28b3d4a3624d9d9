"""Who may import whom: the rooms of the package, from the equation outwards."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import amask_solo

ROOT = Path(amask_solo.__file__).parent
NAME = ROOT.name

ROOMS = {
    # The ground floor: no room, only names, words and files.
    "_types": set(),
    "_random": set(),
    "_modes": set(),
    "neighbors": set(),
    "errors": set(),
    "layout": set(),
    "versions": set(),
    "schedules": set(),
    "rules": {"errors"},
    "same_images": {"errors"},
    "signatures": {"rules"},
    "files": {"errors"},
    "curves": {"errors"},
    "configuration": {"errors", "rules", "signatures"},
    "occlusion": {"_types"},
    "blur": {"_types"},
    # The parts of the game.
    "projections": {"_types", "errors"},
    "localisers": {"_types", "errors", "hosts.architectures", "hosts.blueprint", "hosts.exported"},
    "maskers": {"_types", "errors", "occlusion", "projections", "localisers.base"},
    "constraints": {"_types", "errors"},
    "fills": {"_types", "blur"},
    "hard_views": {"_types", "errors", "occlusion", "maskers.base"},
    "game": {"_types", "occlusion", "schedules", "maskers.base", "maskers.patterns", "constraints.base", "fills.base"}
    | {"hard_views.base"},
    # Images, numbers and pictures.
    "augment": {"_types", "errors", "blur"},
    "data": {"_random", "errors", "files", "same_images"},
    "visualization": {"_types", "files"},
    # The configuration, for data sets by name; the architectures, for images of another size.
    "evaluation": {"_types", "_random", "errors", "files", "rules", "signatures", "augment", "data", "maskers"}
    | {"configuration", "hosts.architectures"}
    | {"blur", "neighbors", "occlusion", "projections", "localisers", "visualization"},
    # The host, and the game in it.
    "hosts": {"_types", "_modes", "errors", "layout", "neighbors", "schedules"},
    "callbacks": {"_types", "_random", "_modes", "errors", "files", "layout", "augment", "data", "evaluation.knn"}
    | {"game", "maskers.random", "maskers.base", "visualization", "versions"},
    "masked": {"_types", "_random", "errors", "layout", "configuration", "callbacks", "game", "hosts", "occlusion"}
    | {"localisers.backbone"},
    # Runs, from the refusal of settings to the folder.
    "settings": {
        "errors",
        "files",
        "layout",
        "rules",
        "configuration",
        "signatures",
        "augment.schema",
        "game.adversary",
    }
    | {"hosts", "masked"},
    "checkpoints": {"_types", "errors", "files", "layout", "configuration", "augment.views", "evaluation.backbone"}
    | {"game.game", "hosts", "masked.settings", "maskers", "projections", "settings"},
    "runs": {
        "_types",
        "_random",
        "curves",
        "errors",
        "files",
        "layout",
        "rules",
        "signatures",
        "configuration",
        "augment",
        "data",
        "evaluation",
    }
    | {
        "visualization",
        "localisers.base",
        "localisers.backbone",
        "maskers.base",
        "maskers.objects",
        "hosts",
        "callbacks",
    }
    | {"masked", "settings", "checkpoints", "versions", "same_images"},
    "comparison": {"curves", "errors", "files", "layout", "signatures", "configuration", "hosts.methods", "versions"}
    | {"visualization", "evaluation.results", "same_images"},
    "cli": {"errors", "files", "layout", "rules", "configuration", "data", "evaluation", "game", "hosts", "settings"}
    | {"visualization", "checkpoints", "runs", "comparison", "versions", "same_images"},
    "_hydra": {"masked.registry"},
    "__init__": {"masked", "hosts.installed", "game", "occlusion", "maskers", "constraints", "fills", "visualization"}
    | {"signatures"},
}
"""Room -> what it may import of this package beside itself: a room, or one module of it."""

SHARED = {
    "maskers": {"base", "networks", "patterns"},
    "constraints": {"base"},
    "fills": {"base"},
    "hard_views": {"base"},
    "projections": {"base", "area", "combined"},
    "localisers": {"base", "backbone"},
}
"""Kinds of which each module knows the shared ones alone, never its neighbors."""

LIBRARIES = {
    "solo": {"hosts"},
    "lightning": {"hosts", "callbacks", "masked", "checkpoints", "runs"},
    "pytorch_lightning": set(),
    "wandb": {"callbacks"},
    # timm groups the layers of its networks, which evaluated backbones are.
    "timm": {"hosts", "evaluation"},
    "safetensors": {"hosts", "localisers", "checkpoints"},
    "hydra": {"configuration", "cli", "settings", "checkpoints"},
    "omegaconf": {"configuration", "cli", "hosts", "masked", "settings", "checkpoints", "runs"},
    "kornia": {"augment", "constraints", "data"},
    "matplotlib": {"visualization"},
    "rich": {"cli", "callbacks", "data", "comparison"},
}
"""Library -> the rooms that may import it; all others are free."""

FILES = sorted(ROOT.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it, also by ``import_module``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            # `from package import module` imports a module.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if is_module(name) else str(node.module) for name in names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return name.startswith(f"{NAME}.") and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def own(file: Path) -> set[str]:
    """Return the imports from this package, relative to it."""
    return {name.removeprefix(f"{NAME}.") for name in imports(file) if name.split(".")[0] == NAME and name != NAME}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_its_room_may(file):
    may = ROOMS[room(file)] | {room(file)}
    wrong = {name for name in own(file) if not any(name == m or name.startswith(f"{m}.") for m in may)}
    assert wrong == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_library_is_imported_only_where_it_belongs(file):
    wrong = {name for name in imports(file) if room(file) not in LIBRARIES.get(name.split(".")[0], {room(file)})}
    assert wrong == set()


@pytest.mark.parametrize("kind", SHARED)
def test_the_modules_of_a_kind_do_not_know_each_other(kind):
    for file in (ROOT / kind).glob("*.py"):
        neighbors = {name.split(".")[1] for name in own(file) if name.startswith(f"{kind}.")}
        assert file.stem == "__init__" or neighbors <= SHARED[kind], file


def test_the_game_needs_nothing_but_torch():
    names = {name.split(".")[0] for name in imports(ROOT / "game" / "game.py")}
    assert names - {NAME, "collections", "typing"} <= {"torch", "jaxtyping"}


def test_no_module_imports_itself_by_way_of_others():
    below = {module_name(file): {nearest_module(name) for name in own(file)} for file in FILES}
    # A package's `__init__` gathers the names of its modules, each of which is imported by its own name.
    order = TopologicalSorter({name: imported - {name} for name, imported in below.items()})
    assert list(order.static_order())


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def nearest_module(name: str) -> str:
    return name if (ROOT / f"{name.replace('.', '/')}.py").is_file() else f"{name}.__init__"


def test_every_room_has_a_rule_and_every_rule_a_room():
    assert {room(file) for file in FILES} == set(ROOMS)


def test_the_package_and_what_checks_settings_start_without_torch():
    modules = ["amask_solo", "amask_solo.settings.pretraining", "amask_solo.settings.evaluation"]
    modules += [f"amask_solo.cli.{name}" for name in ("pretrain", "evaluate", "export", "compare")]
    code = f"import sys, {', '.join(modules)}; print([m for m in ('torch', 'lightning', 'solo') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
