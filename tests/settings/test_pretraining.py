"""Settings are refused before the host and Lightning are imported."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry
from omegaconf import OmegaConf

import amask_solo
from amask_solo.cli.composed import composed
from amask_solo.errors import UserError
from amask_solo.settings.pretraining import check_downloaded, check_imported, check_values_and_names
from amask_solo.settings.trainer import ACCELERATORS, PRECISIONS, SET_BY_US, STRATEGIES, check_device
from tests.daily import one_in

ROOT = str(Path(amask_solo.__file__).parents[1])
ASK = """
import json, os, sys
from importlib import import_module
import amask_solo.cli.compare, amask_solo.cli.evaluate, amask_solo.cli.export, amask_solo.cli.pretrain
for command, *argv, folder in json.load(sys.stdin):
    if (pid := os.fork()) == 0:
        os.chdir(folder)
        os.dup2(os.open("err.txt", os.O_WRONLY | os.O_CREAT), 2)
        sys.argv = ["amask-" + command, *argv]
        try:
            import_module("amask_solo.cli." + command).main()
        except SystemExit as end:
            print(folder, end.code, *{"torch", "lightning", "solo"}.intersection(sys.modules), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""
"""Each command in a fork of one process, which has imported what every command does at once."""


def test_the_trainer_still_has_the_arguments_that_the_run_sets():
    assert set(inspect.signature(Trainer).parameters) >= SET_BY_US


def test_whatever_lightning_takes_may_be_chosen_but_weights_of_another_precision():
    assert set(ACCELERATORS) == {"auto", "gpu", *AcceleratorRegistry.available_accelerators()}
    known = inspect.signature(Trainer).parameters["precision"].annotation
    others = {64, "64", "64-true", "16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"}
    assert set(PRECISIONS) == {value for kind in get_args(known) for value in get_args(kind)} - others


@pytest.mark.parametrize("strategy", ["auto", *StrategyRegistry.available_strategies()])
def test_a_strategy_works_or_is_refused_with_the_reason(strategy):
    cfg = composed("pretrain", ["run_folder=none", f"trainer.strategy={strategy}"])
    if strategy in STRATEGIES:
        check_values_and_names(cfg)
        return
    with pytest.raises(UserError, match=r"trainer\.strategy.*(does not work here: .*Use trainer=ddp|one of auto)"):
        check_values_and_names(cfg)


def check_settings(cfg) -> None:
    check_values_and_names(cfg)
    check_imported(cfg)


def check(*changes: str) -> None:
    check_settings(composed("pretrain", ["run_folder=none", *changes]))


EIGHT = ("++backbone.kwargs.patch_size=8", "adversary.masker.network.patch_size=8")
VIT = ("backbone.name=vit_tiny", "data.image_size=32")
LEFT_OUT = ("++adversary.drop_tokens=true", "adversary.share=1.0")
DROP = ("masker=random_grid", "adversary.masker.pattern.patch=16", *LEFT_OUT)
LARGER = ("backbone.name=vit_tiny", "data.image_size=128")
QUARTER = ("++adversary.masker.grid=8", "++adversary.masker.ratio=[0.25,0.25]")
OF_TIMM = ("backbone.name=timm/vit_tiny_patch16_224", "data.image_size=32")


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("method=byol",),
        VIT,
        (*VIT, "masker=sequential_patches"),
        (*VIT, "masker=simultaneous_patches", *EIGHT),
        ("method=amask_simclr", "negatives=random_block"),
        (*OF_TIMM, "masker=sequential_patches"),
        (*OF_TIMM, "masker=sequential_patches", *EIGHT),
        ("backbone.name=timm/resnet18", "++backbone.kwargs.channels=[32,64,128,256]", "stem=cifar"),
        ("data=image_folder", "data.train_path=.", "data.channels=keep", "+augmentations.0.mean=[0.5]"),
        (*VIT, "augmentations.0.crop_size=48", "++backbone.kwargs={img_size: 32, dynamic_img_size: true}"),
        (*VIT, *DROP),
        (*OF_TIMM, *DROP, "++backbone.kwargs.patch_size=8"),
        (*VIT, "++adversary.drop_tokens=false"),
        (*VIT, *LEFT_OUT, "masker=gumbel_patches"),
        # The method's own backbone, which the localiser would look through, is not there yet.
        (*LARGER, *LEFT_OUT, "masker=saliency", *QUARTER),
    ],
    ids=" ".join,
)
def test_what_works_passes(changes):
    check(*changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((*VIT, "++backbone.kwargs.img_size=224"), "img_size=224, but augmentations make views of 32 px"),
        ((*VIT, "data.image_size=40"), "40 px are no multiple of 16"),
        ((*VIT, "masker=sequential_patches", "++backbone.kwargs.patch_size=8"), "patch_size=8, as the backbone's"),
        (("backbone.name=resnet34",), "If timm has it, then .*timm/resnet34"),
        (("data.num_train=16", "optimizer.batch_size=32"), "num_train of at least optimizer.batch_size=32"),
        (("max_epochs=3", "++adversary.start_epoch=3"), "start_epoch below max_epochs=3, but got 3"),
        (("method=byol", "momentum.final_tau=0.9"), r"final_tau of at least momentum\.base_tau=0\.99, but got 0\.9"),
        (("++trainer.check_val_every_n_epoch=0",), "check_val_every_n_epoch to be a whole number of at least 1"),
        (("optimizer.name=adamw", "++optimizer.kwargs.betas=[0.9,2]"), "adamw refuses .*betas.*: Invalid beta"),
        (("optimizer.name=adam", "++optimizer.kwargs.betas=[0.9]"), "adam refuses .*betas"),
        (
            ("optimizer.name=sgd", "++optimizer.kwargs.nesterov=true", "++optimizer.kwargs.momentum=0"),
            "sgd refuses .*esterov",
        ),
        (("++trainer.overfit_batches=2",), "data.max_images=N trains on few"),
        (("++trainer.enable_checkpointing=false",), "save_every=N"),
        (("++trainer.limit_train_batches=0",), "limit_train_batches to be a number above 0"),
        (("masker=sequential_patches",), "resnet18 has none"),
        (("masker=sequential_patches", "backbone.name=timm/resnet18"), "timm/resnet18 has none"),
        ((*OF_TIMM, "data.image_size=40"), "40 px are no multiple of 16"),
        (("masker=sequential_patches", "backbone.name=timm/vit_tiny_patch14_224"), "timm has no model"),
        ((*OF_TIMM, "masker=sequential_patches", "++backbone.kwargs.patch_size=8"), "patch_size=8, as the backbone's"),
        (("backbone.name=timm/convnext_atto", "stem=cifar"), "for ResNets"),
        ((*VIT, "stem=cifar"), "for ResNets"),
        (("adversary.masker.num_masks=5",), "room for all of them"),
        (("negatives=random_block",), "choose one of .*simclr"),
        (DROP, "resnet18 is none that can do without"),
        ((*DROP, "backbone.name=timm/swin_tiny_patch4_window7_224", "data.image_size=224"), "none that can do without"),
        ((*VIT, *DROP, "++adversary.drop_tokens=3"), "adversary.drop_tokens to be true or false"),
        ((*VIT, *DROP, "adversary.masker.pattern.patch=8"), "whole patches of the backbone, of 16 px"),
        ((*VIT, *LEFT_OUT), "zeros and ones"),
        ((*VIT, *LEFT_OUT, "masker=none"), "hide equally many"),
        ((*VIT, *DROP, "fill=blur"), "leave adversary.fill out"),
        ((*VIT, *DROP, "adversary.share=0.5"), "share=1"),
        ((*VIT, *DROP, "hard_views=cutmix"), "hard_views=none"),
        ((*VIT, *DROP, "++backbone.kwargs.dynamic_img_size=true"), "dynamic_img_size; leave one of them out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_go_together_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        check(*changes)


def test_the_last_epoch_may_be_the_first_with_masks():
    check_values_and_names(composed("pretrain", ["run_folder=none", "max_epochs=3", "++adversary.start_epoch=2"]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("++optimizer.kwargs.momentun=0.9",), "did you mean 'momentum'"),
        (("backbone.name=timm/resnet19",), "did you mean 'timm/resnet18'"),
        (("++trainer.gradient_clip_vl=1",), "did you mean 'gradient_clip_val'"),
        (("++trainer.max_epochs=1",), "Unknown key 'max_epochs' in trainer"),
        (("++trainer.callbacks=1",), "Unknown key 'callbacks' in trainer"),
        (("++trainer.logger=1",), "Unknown key 'logger' in trainer"),
        (("++trainer.self=1",), "Unknown key 'self' in trainer"),
        (("trainer.log_every_n_steps=x",), "trainer.log_every_n_steps to be a whole number"),
        (("method=amask_byoll",), "did you mean 'byol'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_only_a_library_knows_is_refused_when_it_is_imported(changes, words):
    *choices, last = changes
    key, _, value = last.lstrip("+").partition("=")
    cfg = composed("pretrain", ["run_folder=none", *choices])
    OmegaConf.update(cfg, key, value, force_add=True)
    check_values_and_names(cfg)
    with pytest.raises(UserError, match=words):
        check_imported(cfg)


def test_a_machine_without_the_accelerator_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError, match=r"trainer\.accelerator=gpu, but torch finds none"):
        check_device(OmegaConf.create({"accelerator": "gpu"}))
    check_device(OmegaConf.create({"accelerator": "cpu"}))
    check_device(OmegaConf.create({}))


@pytest.mark.parametrize(("name", "folder"), [("cifar10", "cifar-10-batches-py"), ("stl10", "stl10_binary")])
def test_a_set_that_was_not_downloaded_is_refused_with_the_command_that_does_it(name, folder, tmp_path):
    data = composed("pretrain", [f"data={name}", f"data.root={tmp_path}"]).data
    with pytest.raises(UserError, match=f"in its folder '{folder}'.*download=True"):
        check_downloaded(data)
    (tmp_path / folder).mkdir()
    check_downloaded(data)
    check_downloaded(composed("pretrain", ["data=shapes"]).data)


def test_a_warm_up_longer_than_the_training_is_refused():
    cfg = composed("pretrain", ["run_folder=none", "max_epochs=3", "scheduler.warmup_epochs=4"])
    with pytest.raises(UserError, match=r"warmup_epochs of at most max_epochs=3, but got 4"):
        check_settings(cfg)
    OmegaConf.update(cfg, "scheduler.name", "none")
    check_settings(cfg)


WRONG = [
    ("max_epochs=-1", "max_epochs"),
    ("adversary.masker.num_masks=few", "a whole number"),
    ("adversary.optimizer.lr=nan", "adversary.optimizer.lr"),
    ("data.num_train=many", "data.num_train"),
    ("trainer.accelerator=foo", "cuda"),
    ("trainer.devices=0", "trainer.devices"),
    ("trainer.precision=17", "16-mixed"),
    ("++trainer.strategy=dpp", "'ddp'"),
    ("++trainer.strategy=fsdp", "a part of the network"),
    ("method=byol hard_views=cutmix", "not masked, so it has no hard_views"),
    ("backbone.kwargs=3", "backbone.kwargs"),
    ("backbone.name=resnet19", "resnet18"),
    ("method=dino ++method_kwargs.warmup_teacher_temperature_epochs=9 max_epochs=8", "at most max_epochs=8"),
    ("data=image_masks data.images_path=. data.masks_path=nowhere", "data.masks_path"),
    ("data=image_folder data.train_path=nowhere", "data.train_path"),
    ("resume=true run_folder=nowhere", "Nothing to resume"),
    ("method_kwargs.proj_hidden_dim=0", "proj_hidden_dim"),
    ("momentum.base_tau=2", "base_tau"),
    ("export ckpt=. format=torchvision arch=timm/resnet18", "format=timm"),
    ("augmentations.0.rrc.crop_min_scale=big", "crop_min_scale"),
    ("masker=sequential_patches", "patches"),
    ("hydra.run.dir=elsewhere", "run_folder"),
    ("evaluate ckpt=nowhere", "nowhere"),
    ("evaluate ckpt=. batch_size=0", "batch_size"),
    ("evaluate ckpt=. protocol.knn.k=many", "protocol.knn.k"),
    ("evaluate ckpt=. protocol.linear.held_out=2", "protocol.linear.held_out"),
    ("export ckpt=nowhere", "nowhere"),
    ("export ckpt=. format=tim", "timm"),
    ("export ckpt=. format=torchvision arch=vit_tiny", "format=timm"),
    ("compare base=[byoll]", "byol"),
    ("compare max_epochs=-1", "max_epochs"),
    ("compare adversary.optimizer.lr=-1", "adversary.optimizer.lr"),
    ("compare protocol.knn.k=0", "protocol.knn.k"),
    ("compare data=image_folder data.train_path=nowhere", "data.train_path"),
]


@pytest.fixture(scope="module")
def refused(request, tmp_path_factory) -> dict[str, tuple[str, str, list[str]]]:
    """What each command that is tried printed, its errors, and what lies in its working directory then."""
    tried = [item for item in request.session.items if item.path == request.path and "refused" in item.fixturenames]
    folders = {item.callspec.params["argument"]: tmp_path_factory.mktemp("refused") for item in tried}
    commands = [
        [*(["pretrain"] if "=" in argument.split()[0] else []), *argument.split(), str(folder)]
        for argument, folder in folders.items()
    ]
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment, given = {**os.environ, "PYTHONPATH": path}, json.dumps(commands)
    said = subprocess.run(
        [sys.executable, "-c", ASK], input=given, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    printed = dict(line.split(" ", 1) for line in said.stdout.splitlines())
    return {
        argument: (printed.get(str(folder), ""), (folder / "err.txt").read_text(), sorted(os.listdir(folder)))
        for argument, folder in folders.items()
    }


@pytest.mark.parametrize(("argument", "word"), one_in(4, WRONG))
def test_a_wrong_setting_is_refused_without_importing_torch(argument, word, refused):
    printed, errors, left = refused[argument]
    assert printed == "2", printed + errors
    assert word in errors
    assert left == ["err.txt"]
