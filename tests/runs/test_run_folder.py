"""What may differ when a run is resumed, and what may not."""

import pytest
from omegaconf import OmegaConf

from amask_solo.errors import UserError
from amask_solo.runs.run_folder import check_same_run
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
