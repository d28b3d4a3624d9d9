"""A user's mistake is one line on standard error and exit code 2; it leaves no run folder behind."""

import pytest

from tests.cli.command import BARE, SMALL, call, pretrain

FIVE_VIEWS = ["augmentations.0.num_crops=4"]


def refused(said, *words):
    assert said.code == 2
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    for word in words:
        assert word in said.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        # the command line
        (["max_epoch=3"], ["max_epoch", "did you mean 'max_epochs'"]),
        (["method=byoll"], ["byoll", "did you mean 'byol'"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["~frobnicate"], ["frobnicate"]),
        (["data.image_size=${frobnicate}"], ["data.image_size", "frobnicate"]),
        # single values
        (["max_epochs=-1"], ["max_epochs", "-1"]),
        (["max_epochs=2.5"], ["max_epochs", "2.5"]),
        (["seed=abc"], ["seed", "abc"]),
        (["optimizer.batch_size=0"], ["optimizer.batch_size", "0"]),
        (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
        (["optimizer.lr=nan"], ["optimizer.lr", "nan"]),
        (["optimizer.name=adamm"], ["adamm", "adam"]),
        (["optimizer.kwargs.momentun=0.9"], ["momentun", "did you mean 'momentum'"]),
        (["scheduler.name=cosine"], ["cosine", "warmup_cosine"]),
        (["scheduler.name=step"], ["lr_decay_steps"]),
        (["mask_panels=-1"], ["mask_panels"]),
        (["resume=yes"], ["resume", "yes"]),
        (["stem=small"], ["stem", "small"]),
        (["loader.device_cache=maybe"], ["device_cache", "maybe"]),
        (["data.num_train=many"], ["data.num_train", "many"]),
        (["data.num_train=0"], ["num_train"]),
        (["adversary.masker.num_masks=few"], ["adversary.masker.num_masks", "few"]),
        (["adversary.masker.num_masks=true"], ["adversary.masker.num_masks", "True"]),
        (["adversary.optimizer.lrr=1"], ["adversary.optimizer", "did you mean 'lr'"]),
        (["backbone.name=resnet19"], ["resnet19", "did you mean 'resnet18'"]),
        (["backbone.kwargs.frobnicate=1"], ["backbone.kwargs", "frobnicate"]),
        (["augmentations.0.rrc.crop_min_scale=big"], ["augmentations[0].rrc.crop_min_scale", "big"]),
        (["base_class=nowhere.Method"], ["nowhere", "PYTHONPATH"]),
        (["base_class=pathlib.Path"], ["pathlib.Path", "BaseMethod"]),
        # the trainer's
        (["trainer.precision=foo"], ["trainer", "foo"]),
        (["trainer.accelerator=foo"], ["trainer", "foo"]),
        (["trainer.devices=0"], ["trainer", "devices"]),
        (["trainer.strategy=foo"], ["trainer", "foo"]),
        # what is missing
        (["data=image_folder"], ["data.train_path"]),
        (["data=image_folder", "data.train_path=/nowhere"], ["/nowhere"]),
        (["resume=true"], ["Nothing to resume", "last.ckpt"]),
        # what does not go together
        (["method=byol", "masker=sequential"], ["not masked", "amask_"]),
        (["method=byol", "+adversary.draw=one"], ["not masked", "amask_"]),
        (["optimizer.batch_size=17"], ["16 images", "optimizer.batch_size"]),
        (["method=wmse", "optimizer.batch_size=12"], ["whitening_size", "12"]),
        (["method=wmse", "method_kwargs.whitening_size=8"], ["whitening_size", "proj_output_dim"]),
        (["method=mocov2plus", "method_kwargs.queue_size=20"], ["queue_size", "20"]),
        (["method=swav", "method_kwargs.queue_size=4"], ["queue_size", "4"]),
        (["method=deepclusterv2"], ["num_prototypes", "3000"]),
        (["method=simsiam", *FIVE_VIEWS], ["two views", "5"]),
        (["method=simclr", "augmentations.0.crop_size=64"], ["views"]),
        (["run_folder=/proc/nowhere"], ["/proc/nowhere"]),
        (["logger=wandb", "logger.mode=sometimes"], ["logger", "sometimes"]),
    ],
    ids=lambda value: " ".join(value) if value and "=" in value[0] else "",
)
def test_a_mistake_is_one_line(argv, words, tmp_path):
    small = SMALL if not any(setting.startswith("method=") for setting in argv) else []
    said = call("pretrain", *_tiny_without(argv), *small, *BARE, *argv, cwd=tmp_path)
    refused(said, *words)
    assert list(tmp_path.rglob("config.yaml")) == []


def _tiny_without(argv):
    from tests.cli.command import TINY

    # Keys of the small data set are unknown to another one.
    return [s for s in TINY if not (any(a.startswith("data=") for a in argv) and s.startswith("data"))]


def test_an_existing_run_is_not_overwritten(finished):
    before = (finished.folder / "metrics.csv").read_bytes()
    refused(pretrain(*SMALL, cwd=finished.folder.parent.parent), "already holds a run", "resume=true", "overwrite=true")
    assert (finished.folder / "metrics.csv").read_bytes() == before


def test_a_run_is_not_resumed_with_other_settings(finished):
    said = pretrain(*SMALL, "max_epochs=3", "seed=0", "resume=true", cwd=finished.folder.parent.parent)
    refused(said, "other settings", "max_epochs: 2 -> 3")


def test_a_mistake_does_not_cost_the_run_that_was_to_be_replaced(finished):
    said = pretrain(*SMALL, "overwrite=true", "trainer.precision=foo", cwd=finished.folder.parent.parent)
    refused(said, "precision")
    assert (finished.folder / "checkpoints" / "last.ckpt").is_file()


def test_a_bug_keeps_its_traceback(tmp_path):
    (tmp_path / "buggy.py").write_text("def load(image_size: int) -> None:\n    raise KeyError('a bug')\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "buggy.yaml").write_text("_target_: buggy.load\nimage_size: 32\n")
    with pytest.raises(KeyError, match="a bug"):
        call("pretrain", "--config-dir", ".", "data=buggy", cwd=tmp_path)
