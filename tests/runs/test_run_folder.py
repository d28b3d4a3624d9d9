"""What may differ when a run is resumed, and what may not."""

import pytest
from omegaconf import OmegaConf

from amask_solo.configuration import ADVERSARY, GAME, target_defaults
from amask_solo.errors import UserError
from amask_solo.runs.run_folder import LEFT_OUT, check_same_run
from amask_solo.settings.pretraining import OBSERVERS

RUN = {"method": "byol", "max_epochs": 3, **dict.fromkeys(OBSERVERS, 1), "save_every": 1, "data": {"image_size": 32}}


@pytest.fixture
def folder(tmp_path):
    OmegaConf.save(OmegaConf.create(RUN), tmp_path / "config.yaml")
    return tmp_path


@pytest.mark.parametrize("key", [*OBSERVERS, "save_every"])
def test_what_only_watches_a_run_may_change(folder, key):
    check_same_run(folder, OmegaConf.create(RUN | {key: 0}))


def test_what_changes_the_run_may_not(folder):
    with pytest.raises(UserError, match="max_epochs: 3 -> 4"):
        check_same_run(folder, OmegaConf.create(RUN | {"max_epochs": 4}))


@pytest.mark.parametrize("key", ["gradient_clip_val", "max_steps"])
@pytest.mark.parametrize("before", [None, 9])
def test_nor_may_how_gradients_are_clipped_or_when_training_ends(tmp_path, key, before):
    OmegaConf.save(OmegaConf.create(RUN | {"trainer": {key: before} if before else {}}), tmp_path / "config.yaml")
    with pytest.raises(UserError, match=rf"trainer\.{key}: {before} -> 5"):
        check_same_run(tmp_path, OmegaConf.create(RUN | {"trainer": {key: 5}}))


def test_another_precision_is_said(tmp_path):
    OmegaConf.save(OmegaConf.create(RUN | {"trainer": {"precision": "bf16-mixed"}}), tmp_path / "config.yaml")
    with pytest.warns(UserWarning, match=r"trainer\.precision=32-true instead of bf16-mixed"):
        check_same_run(tmp_path, OmegaConf.create(RUN | {"trainer": {"precision": "32-true", "devices": 2}}))


def test_a_key_that_an_older_run_left_out_counts_as_what_the_classes_take():
    share, make = target_defaults(GAME)["share"], target_defaults(ADVERSARY)["optimizer"]
    assert {"adversary.share": share, "adversary.optimizer.lr": make.keywords["lr"]} == LEFT_OUT
