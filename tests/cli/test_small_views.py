"""Two large views and six small ones: with the host whose SwAV and DINO learn from them."""

from pathlib import Path

import pytest

from amask_solo.hosts.installed import load_host
from tests.cli.command import BARE, HEADS, NARROW, Said, pretrain
from tests.cli.test_pretrain import rows
from tests.daily import one_in

QUICK = [*HEADS[:2], *BARE, *NARROW, "stem=auto", "advantage=0", "run_folder=run", "augmentations=multicrop"]
HEADS = {
    "swav": ["method_kwargs.num_prototypes=8", "method_kwargs.queue_size=8", "method_kwargs.epoch_queue_starts=0"],
    "dino": ["method_kwargs.num_prototypes=8"],
    "byol": [HEADS[2]],
    "simclr": [],
}


def run(method: str, cwd: Path) -> Said:
    return pretrain(*QUICK, f"method={method}", *HEADS[method.removeprefix("amask_")], cwd=cwd)


@pytest.mark.parametrize("method", one_in(2, ["amask_swav", "swav", "amask_dino", "dino"]))
def test_swav_and_dino_train_on_small_views_where_the_host_learns_from_them(method, tmp_path):
    said = run(method, tmp_path)
    if load_host().generation == "release":
        assert said.code == 2
        assert "in solo-learn's GitHub version it does" in said.err
        assert not (tmp_path / "run" / "config.yaml").exists()
        return
    assert said.code == 0, said.err
    assert ("masks/area" in rows(tmp_path / "run")[-1]) == method.startswith("amask_")


@pytest.mark.parametrize("method", one_in(2, ["amask_byol", "amask_simclr"]))
def test_others_train_on_small_views_with_either_host(method, tmp_path):
    said = run(method, tmp_path)
    assert said.code == 0, said.err
    assert float(rows(tmp_path / "run")[-1]["masks/area"]) > 0
