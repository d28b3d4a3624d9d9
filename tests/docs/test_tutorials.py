"""Every file and command of the tutorials works, on tiny data."""

import runpy
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import amask_solo
from tests.cli.command import TINY
from tests.cli.forked import call_forked
from tests.docs.pages import TUTORIALS, Block, blocks
from tests.hosts.script import HOST, one_epoch, run

PATIENCE = 300
LONG = ("backbone", "code", "comparison", "parts")
"""Tutorials that take longer than the others, which the nightly tests follow."""


@pytest.fixture
def photos(folder) -> Path:
    for label, color in enumerate(("red", "green", "blue")):
        (folder / "photos" / color).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 44), (60 * label, 40 * number, 90)).save(folder / f"photos/{color}/{number}.png")
    return folder


def tiny(program: str, arguments: list[str]) -> list[str]:
    """Return arguments with settings that take seconds."""
    if program not in ("amask-pretrain", "amask-compare"):
        return arguments
    # The stem and size of photographs are those of the folder.
    photos = "data=image_folder" in arguments
    settings = [word for word in TINY if not (photos and word.startswith(("data", "stem")))]
    if program == "amask-compare":
        settings += ["seed=[0]"]
    keys = {word.partition("=")[0] for word in settings}
    return [word for word in arguments if word.partition("=")[0] not in keys] + settings


def carry_out(block: Block, folder: Path) -> None:
    for program, *arguments in block.commands:
        if program.startswith("amask-"):
            words = tiny(program, arguments)
            said = call_forked(program.removeprefix("amask-"), *words, cwd=folder, log=folder, patience=PATIENCE)
            assert said.code == 0, said.err
        elif (folder / arguments[0]).is_file():
            runpy.run_path(arguments[0], run_name="__main__")
        elif HOST:
            script, *words = arguments
            places = [f"hydra.run.dir={folder}", f"++checkpoint.dir={folder}"]
            run(script, *words, *one_epoch(folder / "photos", batch_size=6), *places, folder=Path(HOST))


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.nightly if p.stem in LONG else [], id=p.stem) for p in TUTORIALS],
)
def test_a_tutorial_can_be_followed(page, photos):
    for block in blocks(page):
        carry_out(block, photos)
    if page.stem == "parts":
        run = photos / "runs" / "mine_shapes_seed0"
        assert OmegaConf.load(run / "config.yaml").adversary.masker._target_ == "spotlight.Spotlight"
        state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        assert any(key.startswith("adversary.") and "place" in key for key in state)


def test_a_masked_simclr_in_plain_pytorch_takes_less_than_sixty_lines(folder):
    assert len((folder / "simclr.py").read_text().splitlines()) < 60


def test_the_base_objective_is_shorter_than_twenty_lines(folder):
    code = [line for line in (folder / "alignment.py").read_text().splitlines()[1:] if line.strip()]
    assert len(code) < 20


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
