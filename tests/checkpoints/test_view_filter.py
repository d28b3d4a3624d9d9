"""The filter of the views belongs to the run: it is applied and said wherever its backbone goes."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from amask_solo.augment.views import Views, evaluation_view
from amask_solo.checkpoints.read import read
from amask_solo.checkpoints.view_filter import build_filter, recorded_filter, trusted_filter
from amask_solo.data import make_shapes
from amask_solo.errors import UserError
from amask_solo.fills import HighPass
from amask_solo.hosts.exported import read_metadata
from amask_solo.runs.datamodule import ViewsData
from tests.cli.command import BARE, HEADS, TINY, call

NODE = {"_target_": "amask_solo.fills.HighPass", "kernel_size": 5, "sigma": 2.0}
TINIER = [*(text for text in TINY if not text.startswith(("stem", "data.image_size"))), "data.image_size=16"]
IMAGES = [setting for setting in TINIER if setting.startswith("data")]
PLAIN = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


@pytest.fixture
def pixels():
    return torch.randint(256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def draw():
    return torch.Generator().manual_seed(1)


def test_every_view_is_filtered_after_everything_else(pixels):
    nodes = [{"crop_size": 16, "num_crops": 2}, {"crop_size": 8, "num_crops": 1}]
    plain, filtered = (Views(nodes, **PLAIN, view_filter=f)(pixels, generator=draw()) for f in (None, HighPass(5, 2.0)))
    for view, expected in zip(filtered, plain, strict=True):
        torch.testing.assert_close(view, HighPass(5, 2.0)(expected))


def test_validation_and_online_knn_see_filtered_views(pixels):
    images = make_shapes(num_train=8, num_val=8, image_size=16)
    views = Views([{"crop_size": 16, "num_crops": 2}], mean=images.mean, std=images.std, view_filter=HighPass(5, 2.0))
    seen = ViewsData(images, views, batch_size=4).prepare(pixels)
    plain = evaluation_view(pixels, mean=images.mean, std=images.std, size=16)
    torch.testing.assert_close(seen, HighPass(5, 2.0)(plain))
    assert seen.mean(dim=(2, 3)).abs().max() < 0.2 < plain.mean(dim=(2, 3)).abs().max()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A saliency run on filtered views, and a protocol that shows which views the backbone sees."""
    cwd = tmp_path_factory.mktemp("filtered")
    (cwd / "mine" / "protocol").mkdir(parents=True)
    text = "# @package protocol.mean\n# One of ours.\n_target_: tests.cli.protocols.Mean\n"
    (cwd / "mine" / "protocol" / "mean.yaml").write_text(text)
    options = ["view_filter=high_pass", "view_filter.kernel_size=5", "view_filter.sigma=2.0", "masker=saliency"]
    said = call("pretrain", *TINIER, *HEADS, *BARE, "mask_panels=1", "name=run", *options, cwd=cwd)
    assert said.code == 0, said.err
    return cwd


def evaluated(place, checkpoint, *argv):
    """Evaluate, and return the mean of all features, what is known, and what is printed."""
    results = place / "results.json"
    results.unlink(missing_ok=True)
    more = [f"output={results}", "device=cpu", *(argv or ["protocol=mean", *IMAGES])]
    said = call("evaluate", "--config-dir", "mine", f"ckpt={checkpoint}", *more, cwd=place)
    assert said.code == 0, said.err
    record = json.loads(results.read_text())
    return record["results"][0]["scores"]["mean"], record["view_filter"], said.out


@pytest.mark.nightly
def test_evaluation_and_export_respect_the_filter_and_say_it(place):
    run = place / "runs" / "run_shapes_seed0"
    assert OmegaConf.load(run / "config.yaml").view_filter == NODE
    of_run, known, printed = evaluated(place, run, "protocol=[mean,masks]")
    assert known == NODE
    assert "amask_solo.fills.HighPass(kernel_size=5, sigma=2.0)" in printed
    assert "localiser_iou_center" in printed
    checkpoint = read(run / "checkpoints" / "last.ckpt")
    torch.save(checkpoint, place / "alone.ckpt")
    said = call("export", "ckpt=alone.ckpt", "format=timm", "path=alone.pth", cwd=place)
    assert "HighPass(kernel_size=5, sigma=2.0)" in said.out
    assert json.loads(json.loads((place / "alone.json").read_text())["view_filter"]) == NODE
    for file in ("alone.ckpt", "alone.pth"):
        assert evaluated(place, file)[:2] == (pytest.approx(of_run), NODE)
    (place / "alone.json").unlink()
    other, none, printed = evaluated(place, "alone.pth")
    assert none is None
    assert other != pytest.approx(of_run, rel=1e-3)
    assert "HighPass" not in printed


def test_a_filter_that_is_not_trusted_is_not_built(tmp_path):
    for target in ("os.system", "pathlib.Path"):
        with pytest.raises(UserError, match="trust="):
            trusted_filter({"_target_": target}, tmp_path / "some.ckpt")
    assert trusted_filter(None, tmp_path / "some.ckpt") is None


@pytest.mark.parametrize("wrong", [5, "high_pass", {"_target_": "builtins.dict"}, {"_target_": "amask_solo.fills.Hi"}])
def test_what_is_no_filter_is_refused(wrong):
    with pytest.raises(UserError, match="view_filter"):
        build_filter(wrong)


@pytest.mark.parametrize("text", ["[1]", "{}", '{"arch": "resnet18"}'])
def test_a_file_beside_that_is_about_something_else_is_left_alone(text, tmp_path):
    (tmp_path / "b.json").write_text(text)
    assert read_metadata(tmp_path / "b.pth", {}) == {}


@pytest.mark.parametrize("text", ["{", '{"view_filter": 5}', '{"view_filter": "{"}'])
def test_broken_metadata_are_refused(text, tmp_path):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UserError, match=r"b\.json"):
        read_metadata(tmp_path / "b.pth", {})


def test_a_checkpoint_of_the_host_has_no_filter():
    assert recorded_filter({"state_dict": {}}) is None
