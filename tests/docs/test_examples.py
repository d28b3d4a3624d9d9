"""Each example on a page and in ``--help`` runs as printed, on tiny data; the tutorials have a test of their own."""

import os
import shutil
from pathlib import Path

import pytest
import torch
import torchvision

from tests.cli.command import TINY
from tests.cli.forked import call_forked
from tests.data.pictures import labeled_tree
from tests.docs.pages import PAGES, TUTORIALS, blocks, helped

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.host]

PATIENCE = 540
PROGRAMS = ("amask-pretrain", "amask-evaluate", "amask-export", "amask-compare")
ON_PAGES = [line for page in PAGES if page not in TUTORIALS for block in blocks(page) for line in block.commands]
EXAMPLES = [line for line in [*ON_PAGES, *(line for name in PROGRAMS for line in helped(name))] if line[0] in PROGRAMS]
IMAGES = ("DIR", "photos")
"""The folders of images that the examples train on."""

ELSEWHERE = ("trainer.", "hydra")
"""The beginnings of what needs GPUs or a cluster."""

SHAPES = [word for word in TINY if word.startswith("data")]
QUICK = ["scheduler.warmup_epochs=null", "online_knn=0", "mask_panels=0", "advantage=0"]


def tiny(program: str, *words: str) -> list[str]:
    """Return the words with other images, and settings that take seconds."""
    kept = [word for word in words if not word.startswith(ELSEWHERE)]
    own = any(f"data.train_path={name}" in kept for name in IMAGES)
    others = [] if own else [word for word in kept if word.startswith(("data=", "data."))]
    kept = [word for word in kept if word not in others]
    if program == "amask-evaluate":
        return kept + (SHAPES if others else [])
    if program == "amask-export":
        return kept
    settings = [word for word in TINY if not (own and word.startswith(("data", "stem")))] + QUICK
    settings += ["seed=[0]"] if program == "amask-compare" else []
    keys = {word.partition("=")[0] for word in settings}
    return [word for word in kept if word.partition("=")[0] not in keys] + settings


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    """A folder with what the examples find: images, two runs and files of other programs."""
    root = tmp_path_factory.mktemp("found")
    for name in IMAGES:
        labeled_tree(root / name, classes={"a": 12, "b": 12})
    for name in ("birds", "cars"):
        for split in ("train", "val"):
            labeled_tree(root / name / split, classes={"a": 12, "b": 12})
    for words in (["name=first", "seed=3"], []):
        said = call_forked("pretrain", *tiny("amask-pretrain", *words), cwd=root, log=root, patience=PATIENCE)
        assert said.code == 0, said.err
    shutil.copy(root / "runs/first_shapes_seed3/checkpoints/last.ckpt", root / "byol-ep=399.ckpt")
    torch.save(torchvision.models.resnet50().state_dict(), root / "dino_resnet50.pth")
    return root


@pytest.mark.parametrize("line", EXAMPLES, ids=" ".join)
def test_an_example_runs(line, found, tmp_path):
    program, *words = line
    goes_on = any("runs/" in word or word.startswith(("resume=", "overwrite=")) for word in words)
    kept = shutil.ignore_patterns("*.txt", *(() if goes_on else ("runs",)))
    cwd = tmp_path / "here"
    shutil.copytree(found, cwd, ignore=kept, copy_function=os.link)
    argv = tiny(program, *words)
    said = call_forked(program.removeprefix("amask-"), *argv, cwd=cwd, log=tmp_path, patience=PATIENCE)
    assert said.code == 0, said.err
