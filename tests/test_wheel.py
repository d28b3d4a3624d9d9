"""The wheel carries the configuration files and Hydra's plugin, and works where it is unpacked and installed."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

import amask_solo
from amask_solo.cli.main import MISTAKE
from amask_solo.configuration import config_folder
from tests.cli.command import TINY

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


def test_the_metadata_says_that_it_is_typed(wheel):
    said = wheel.read(f"amask_solo-{amask_solo.__version__}.dist-info/METADATA").decode()
    assert "Classifier: Typing :: Typed" in said
    assert "Project-URL: solo-learn, https://github.com/vturrisi/solo-learn" in said
    assert "amask_solo/py.typed" in wheel.namelist()


def test_a_command_without_its_packages_says_in_one_line_what_to_install():
    code = "import sys; sys.modules['hydra'] = None; from amask_solo.cli.pretrain import main"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == MISTAKE
    (line,) = said.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "(hydra)" in line
    assert "pip install '.[run]' einops" in line


ONE_STEP = """
import torch
from amask_solo import Adversary, Game, SequentialMasker, WeightedSum, Zero
from amask_solo import mask_panel, mask_statistics, measure_advantage, save_panel

encoder = torch.nn.Conv2d(3, 4, 3)
adversary = Adversary(Game(SequentialMasker(num_masks=1), Zero(), WeightedSum()))
views = list(torch.randn(2, 4, 3, 32, 32))
loss = lambda views: (encoder(views[0]) - encoder(views[1])).square().mean()
turn = adversary.play(views, loss)
turn.objective.backward()
adversary.step()
save_panel(mask_panel(views[1], *adversary.preview(views[1])), "masks.png")
print(mask_statistics(turn.masks)["area"], measure_advantage(adversary.game, loss, [views, views])["attention"])
print(turn.masks.shape)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A fresh environment outside the checkout; its wheel is built from the source archive."""
    pytest.importorskip("build")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("there is no uv to make an environment with")
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert said.returncode == code, said.stdout + said.stderr
        return said

    def install(*what: str) -> None:
        run(uv, "pip", "install", "--quiet", "--python", str(folder / "env/bin/python"), *what)

    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    run(uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env"))
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "source")
    (source,) = (folder / "source").iterdir()
    for name in ("README.md", "LICENSE", "mkdocs.yml", "configs/pretrain.yaml", "tests/test_wheel.py"):
        assert (source / name).is_file()
    return folder, run, install, wheel


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_what_is_built_works_in_a_fresh_environment_without_extras_and_with_them(elsewhere):
    folder, run, install, wheel = elsewhere
    python, pretrain = str(folder / "env/bin/python"), str(folder / "env/bin/amask-pretrain")
    install(str(wheel))
    assert "torch.Size([4, 1, 32, 32])" in run(python, "-c", ONE_STEP).stdout
    assert ".[run]" in run(pretrain, "--help", code=MISTAKE).stderr

    install(f"{wheel}[run]", "einops")
    install("--no-deps", "solo-learn==1.0.2")
    settings = ["method=amask_simclr", "method_kwargs.proj_hidden_dim=16", "backbone.name=timm/resnet18"]
    run(pretrain, *TINY, *settings, "name=fresh", "backbone.kwargs.channels=[8,8,8,8]")
    assert (folder / "runs" / "fresh_shapes_seed0" / "summary.json").is_file()
    place = run(python, "-c", "import amask_solo; print(amask_solo.__file__)").stdout
    assert place.startswith(str(folder / "env"))


def test_a_checkout_finds_its_files_beside_the_package():
    assert config_folder() == ROOT / "configs"
