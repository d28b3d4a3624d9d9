"""The wheel carries the configuration files and Hydra's plugin, and works where it is unpacked."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import amask_solo
from amask_solo.configuration import config_folder

ROOT = Path(amask_solo.__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="this is no checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> ZipFile:
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    (file,) = folder.glob("*.whl")
    return ZipFile(file)


def test_all_configuration_files_are_in_the_package(wheel):
    here = {path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    prefix = "amask_solo/configs/"
    assert {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)} == here
    assert "pretrain.yaml" in here


def test_all_modules_are_there_and_nothing_else(wheel):
    code = {name for name in wheel.namelist() if name.endswith(".py")}
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "amask_solo").rglob("*.py")}
    plugin = "hydra_plugins/amask_solo_plugin.py"
    assert {name for name in here if "_hydra/" not in name} | {plugin} <= code
    assert {name.split("/")[0] for name in wheel.namelist()} == {
        "amask_solo",
        "hydra_plugins",
        f"amask_solo-{amask_solo.__version__}.dist-info",
    }
    # A namespace package: other distributions have plugins in it, too.
    assert "hydra_plugins/__init__.py" not in code


def test_the_commands_are_declared(wheel):
    points = ConfigParser()
    points.read_string(wheel.read(f"amask_solo-{amask_solo.__version__}.dist-info/entry_points.txt").decode())
    names = ("pretrain", "evaluate", "compare", "export")
    assert dict(points["console_scripts"]) == {f"amask-{name}": f"amask_solo.cli.{name}:main" for name in names}


def test_the_unpacked_wheel_finds_its_files(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = (
        "import hydra_plugins.amask_solo_plugin as plugin;"
        "from amask_solo.configuration import config_folder; print(plugin.__file__, config_folder())"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == [
        str(tmp_path / "hydra_plugins" / "amask_solo_plugin.py"),
        str(tmp_path / "amask_solo" / "configs"),
    ]


def test_a_checkout_finds_its_files_beside_the_package():
    assert config_folder() == ROOT / "configs"
