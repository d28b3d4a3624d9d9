"""The README keeps its word: its files work, its commands exist, its links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

import amask_solo
from amask_solo.cli.compare import make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.overrides import checked
from tests.tiny import BATCH, TwoViews, tiny_cfg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MODULES = ("alignment", "centered", "spotlight")


class Block(NamedTuple):
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if it says so at its top."""
        match = re.match(r"(?:# @package .+\n)?# ([\w/]+\.(?:py|yaml))\n", self.text)
        return match[1] if match else None


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


def commands(program: str) -> list[list[str]]:
    shell = "".join(block.text for block in BLOCKS if block.language == "bash").replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in shell.splitlines()]
    return [line[1:] for line in lines if line and line[0] == program]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all files of the README, in which the command is called."""
    for block in BLOCKS:
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)
    if "solo.methods" in sys.modules:
        for name in ("alignment", "amask_alignment"):
            sys.modules["solo.methods"].METHODS.pop(name, None)


def test_a_runnable_example_stands_in_the_first_forty_lines():
    beginning = "\n".join(README.splitlines()[:40])
    assert "```math" in beginning
    assert "![" in beginning
    assert "make pretrain" in beginning
    assert "make test" in beginning
    assert "\namask-pretrain method=amask_byol data=image_folder data.train_path=DIR" in beginning


@pytest.mark.parametrize("arguments", commands("amask-pretrain"), ids=" ".join)
def test_every_key_of_a_pretraining_command_is_known(arguments, folder):
    if "--help" not in arguments:
        assert checked("pretrain", arguments)


@pytest.mark.parametrize("arguments", commands("amask-evaluate"), ids=" ".join)
def test_every_key_of_an_evaluation_command_is_known(arguments):
    assert checked("evaluate", arguments)


@pytest.mark.parametrize("arguments", commands("amask-compare"), ids=" ".join)
def test_every_key_of_a_comparison_is_known_and_makes_runs(arguments):
    cfg = composed("compare", sort_arguments(arguments))
    assert make_runs(cfg)


@pytest.mark.parametrize("arguments", commands("amask-export"), ids=" ".join)
def test_every_key_of_an_export_command_is_known(arguments):
    assert checked("export", arguments)


def test_commands_were_found():
    assert len(commands("amask-pretrain")) > 10
    assert commands("amask-export")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#\s]+)\)", README))))
def test_relative_links_and_pictures_exist(link):
    if not link.startswith("https://"):
        assert (ROOT / link).exists()


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([^)]+)\)", README))))
def test_links_within_the_page_name_a_heading(anchor):
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_base_objective_is_shorter_than_twenty_lines(folder):
    code = [line for line in (folder / "alignment.py").read_text().splitlines()[1:] if line.strip()]
    assert len(code) < 20


@pytest.mark.host
def test_the_base_objective_trains_by_the_script(folder):
    (script,) = (block.text for block in BLOCKS if block.language == "python" and not block.file)
    names = {
        "cfg": tiny_cfg("amask_alignment", method_kwargs={}),
        "loader": DataLoader(TwoViews(BATCH), batch_size=BATCH),
    }
    exec(compile(script, "README.md", "exec"), names)  # noqa: S102
    model = names["model"]
    assert model.trainer.global_step == 1
    assert type(model).__name__ == "AmaskAlignment"
    assert model.adversary.last.loss.isfinite()


@pytest.mark.host
def test_registering_makes_the_base_objective_a_method_of_the_host(folder):
    from alignment import Alignment
    from solo.methods import METHODS

    METHODS["alignment"] = Alignment
    amask_solo.register()
    assert issubclass(METHODS["amask_alignment"], Alignment)


def test_the_masker_hides_a_disk_and_learns(folder):
    from spotlight import Spotlight

    masks = Spotlight()(torch.randn(4, 3, 24, 32))
    assert masks.shape == (4, 1, 24, 32)
    assert 0 <= masks.min() < 0.05
    assert 0.8 < masks.max() <= 1
    masks.sum().backward()


def test_the_constraint_charges_more_for_the_border(folder):
    from centered import Centered

    center = torch.zeros(1, 1, 8, 8)
    center[..., 3:5, 3:5] = 1
    assert Centered()(center) < Centered()(center.roll(3, dims=-1))


@pytest.mark.slow
@pytest.mark.host
def test_the_command_with_all_of_them_writes_a_run(folder):
    (arguments,) = (found for found in commands("amask-pretrain") if "--config-dir" in found)
    tiny = "max_epochs=1 data.num_train=32 data.num_val=16 data.image_size=32 optimizer.batch_size=16 stem=imagenet"
    command = [sys.executable, "-m", "amask_solo.cli.pretrain", *arguments, *tiny.split(), "trainer=cpu"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = folder / "runs" / "mine_shapes_seed0"
    assert OmegaConf.load(run / "config.yaml").adversary.masker._target_ == "spotlight.Spotlight"
    assert (run / "masks" / "epoch_0001.png").is_file()
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any(key.startswith("adversary.") and "place" in key for key in state)
