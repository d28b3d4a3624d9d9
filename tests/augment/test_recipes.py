import os
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

import amask_solo.configuration  # noqa: F401 - for the resolver of sizes
from amask_solo.augment.views import Views
from tests.augment.inputs import PLAIN, noise, seeded

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "configs" / "augmentations").glob("*.yaml"))


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_composes_and_makes_two_views_of_one_size_and_perhaps_small_ones(name, size):
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cfg = compose(overrides=[f"+augmentations={name}", f"+data.image_size={size}"])
    views = Views(cfg.augmentations, **PLAIN)(noise(2, 40), generator=seeded())
    small = {"multicrop": 6 * [round(0.43 * size)]}
    assert [view.shape[-1] for view in views] == [size, size, *small.get(name, [])]
    assert all(torch.isfinite(view).all() for view in views)


@pytest.mark.skipif("SOLO_LEARN_ROOT" not in os.environ, reason="wants a checkout of solo-learn")
def test_every_augmentation_file_of_the_host_works_as_it_is():
    folder = Path(os.environ["SOLO_LEARN_ROOT"]) / "scripts" / "pretrain"
    files = sorted(folder.glob("*/augmentations/*.yaml"))
    assert files
    for path in files:
        schema = yaml.safe_load(path.read_text())
        views = Views(schema, **PLAIN)(noise(1, 32), generator=seeded())
        assert len(views) == sum(node["num_crops"] for node in schema), path
        assert views[0].shape[-1] == schema[0]["crop_size"], path
