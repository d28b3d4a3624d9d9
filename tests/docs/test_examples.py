"""Each example on a page and in ``--help`` runs as printed, on tiny data; the tutorials have a test of their own."""

import os
import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

from tests.checkpoints.test_adios import published
from tests.cli.command import TINY
from tests.cli.forked import call_forked
from tests.data.pictures import labeled_tree, save
from tests.data.published import LAYOUTS, forget_checksums, voc
from tests.docs.pages import PAGES, TUTORIALS, blocks, helped

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.host]

PATIENCE = 540
PROGRAMS = ("amask-pretrain", "amask-evaluate", "amask-export", "amask-compare")
ON_PAGES = [line for page in PAGES if page not in TUTORIALS for block in blocks(page) for line in block.commands]
EXAMPLES = [line for line in [*ON_PAGES, *(line for name in PROGRAMS for line in helped(name))] if line[0] in PROGRAMS]
IMAGES = ("DIR", "photos")
"""The folders of images that the examples train on."""

SETS = {"DIR": ["flowers102", "cars", "backgrounds"], "INAT": ["inaturalist2019"], "data": ["voc"]}
"""The published sets that the examples score, by their folder."""

ELSEWHERE = ("trainer.", "hydra", "adversary.start_epoch")
"""The beginnings of what needs GPUs, a cluster or more than one epoch."""

SHAPES = [word for word in TINY if word.startswith("data")]
QUICK = ["scheduler.warmup_epochs=null", "online_knn=0", "mask_panels=0", "advantage=0"]


def tiny(program: str, *words: str) -> list[str]:
    """Return the words with other images, and settings that take seconds."""
    kept = [word for word in words if not word.startswith(ELSEWHERE)]
    there = ["data=image_masks", *(f"data={name}" for names in SETS.values() for name in names)]
    there += [f"data.train_path={name}" for name in IMAGES]
    own = any(word in kept for word in there)
    others = [] if own else [word for word in kept if word.startswith(("data=", "data."))]
    kept = [word for word in kept if word not in others]
    if program == "amask-evaluate":
        return kept + (SHAPES if others else [])
    if program == "amask-export":
        return kept
    settings = [word for word in TINY if not (own and word.startswith(("data", "stem")))] + QUICK
    settings += ["seed=[0]"] if program == "amask-compare" else []
    if any("saliency" in word for word in kept):  # which needs a map of features with more than one place
        settings[settings.index("stem=imagenet")] = "stem=cifar"
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
    shutil.copytree(root / "runs/first_shapes_seed3", root / "RUN")
    torch.save(torchvision.models.resnet50().state_dict(), root / "dino_resnet50.pth")
    for folder, names in SETS.items():
        for name in names:
            (LAYOUTS | {"voc": voc})[name](root / folder)
    adios(root)
    return root


def adios(root: Path) -> None:
    """Write a checkpoint of its authors, for images of 96 px, and images with masks."""
    state = {f"encoder.{name}": value for name, value in torchvision.models.resnet18().state_dict().items()}
    state = {name: value for name, value in state.items() if ".fc." not in name} | published(side=96 // 8)
    torch.save({"state_dict": state, "epoch": 399}, root / "simclr-ep=399.ckpt")
    labeled_tree(root / "IMAGES", classes={"a": 12, "b": 12})
    for image in (root / "IMAGES").glob("*/*.png"):
        save(Image.linear_gradient("L"), root / "MASKS" / image.relative_to(root / "IMAGES"))


@pytest.mark.parametrize("line", EXAMPLES, ids=" ".join)
def test_an_example_runs(line, found, tmp_path, monkeypatch):
    forget_checksums(monkeypatch)
    program, *words = line
    goes_on = any("runs/" in word or word.startswith(("resume=", "overwrite=")) for word in words)
    left = {*(log.name for log in found.glob("*.txt")), *(() if goes_on else ("runs",))}
    cwd = tmp_path / "here"
    shutil.copytree(found, cwd, ignore=lambda folder, _: left if Path(folder) == found else (), copy_function=os.link)
    argv = tiny(program, *words)
    said = call_forked(program.removeprefix("amask-"), *argv, cwd=cwd, log=tmp_path, patience=PATIENCE)
    assert said.code == 0, said.err
