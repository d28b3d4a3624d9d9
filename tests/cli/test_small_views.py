"""Two large views and six small ones: with the host whose SwAV and DINO learn from them."""

import pytest

from amask_solo.hosts.installed import load_host
from tests.cli.command import BARE, SMALL, pretrain
from tests.cli.test_pretrain import rows

NARROW = ["backbone.name=timm/resnet18", "backbone.kwargs.channels=[8,8,8,8]", "stem=auto"]
QUICK = [*SMALL[:2], *BARE, *NARROW, "advantage=0", "run_folder=run", "augmentations=multicrop"]
HEADS = {
    "swav": ["method_kwargs.num_prototypes=8", "method_kwargs.queue_size=8", "method_kwargs.epoch_queue_starts=0"],
    "dino": ["method_kwargs.num_prototypes=8"],
}


@pytest.mark.parametrize("method", [name for base in HEADS for name in (base, f"amask_{base}")])
def test_swav_and_dino_train_on_small_views_where_the_host_learns_from_them(method, tmp_path):
    said = pretrain(*QUICK, f"method={method}", *HEADS[method.removeprefix("amask_")], cwd=tmp_path)
    if load_host().generation == "release":
        assert said.code == 2
        assert "in solo-learn's GitHub version it does" in said.err
        assert not (tmp_path / "run" / "config.yaml").exists()
        return
    assert said.code == 0, said.err
    assert int(rows(tmp_path / "run")[-1]["step"]) == 1
    assert ("masks/area" in rows(tmp_path / "run")[-1]) == method.startswith("amask_")
