"""Deep images of other than three bands through the commands: trained, evaluated, exported, and pasted."""

import json

import pytest
import tifffile
import torch
from omegaconf import OmegaConf

from amask_solo.checkpoints.networks import load_backbone
from amask_solo.data import load_image_folder
from amask_solo.hosts.repairs import STATE
from tests.cli.command import SMALL, call
from tests.daily import one_in
from tests.data.test_pixels import tiffs, values

TOP = 2999  # no value lies between two of the 256 levels
WAYS = {
    "four bands kept": ((4, 24, 24), ["data.channels=keep", "augmentations=no_color"]),
    "three of four bands": ((4, 24, 24), ["data.bands=[4,2,1]"]),
    "gray as color": ((24, 24), []),
}


@pytest.fixture(scope="module", params=one_in(4, WAYS))
def run(request, tmp_path_factory):
    """A finished run on one set; its folder has a name that looks like markup."""
    shape, ways = WAYS[request.param]
    place = tmp_path_factory.mktemp("channels")
    for name in "ab":
        (place / "scans").mkdir(exist_ok=True)
        tiffs(place / "scans" / name, lambda seed: values(*shape, top=TOP, seed=seed), 6, photometric="minisblack")
    said = call("pretrain", "data=image_folder", "data.train_path=scans", "data.val_fraction=0.4", "max_epochs=1",
                "optimizer.batch_size=4", "trainer=cpu", *SMALL, "online_knn=0", "mask_panels=1",
                "stem=cifar", "advantage=0", *ways, "run_folder=run [x]", cwd=place)  # fmt: skip
    assert said.code == 0, said.err
    assert "run [x]" in said.out.partition("Next")[0]
    return place / "run [x]"


def test_what_was_measured_is_written_everywhere(run):
    stored = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[STATE]["images"]
    summary, cfg = json.loads((run / "summary.json").read_text()), OmegaConf.load(run / "config.yaml")
    assert list(stored["value_range"]) == summary["value_range"] == list(cfg.data.value_range) == [0, TOP]
    assert list(stored["mean"]) == summary["mean"] == list(cfg.data.mean)
    assert stored["numbers"] == "whole numbers"
    assert (run / "masks" / "epoch_0001.png").exists()


def test_it_is_evaluated_as_it_was_trained(run):
    said = call("evaluate", "ckpt=run [x]", "protocol=knn", "device=cpu", cwd=run.parent)
    assert (said.code, said.err) == (0, "")
    assert f"Values from 0 to {TOP} became black to white, as in training." in said.out


def test_the_printed_code_prepares_the_values_of_the_files_as_in_training(run):
    said = call("export", "ckpt=run [x]", "format=timm", "path=b.pth", cwd=run.parent)
    names: dict = {}
    here = said.out.partition("Load it:")[2].replace('"b.pth"', repr(str(run.parent / "b.pth")))
    exec(here, names)  # noqa: S102
    settings = OmegaConf.to_container(OmegaConf.load(run / "config.yaml").data)
    settings |= {"train_path": str(run.parent / "scans"), "load_size": 24}
    data = load_image_folder(**{key: value for key, value in settings.items() if key != "_target_"})
    file = torch.from_numpy(tifffile.imread(data.train.files[0]).astype("int32"))
    view = file if file.ndim == 3 else file[None]
    for step in names["transform"].transforms[1:]:
        view = step(view)
    mean, std = (torch.tensor(x)[:, None, None] for x in (data.mean, data.std))
    torch.testing.assert_close(view, (data.train.image(0) / 255 - mean) / std)
    backbone, _ = load_backbone(run / "checkpoints" / "last.ckpt")
    with torch.no_grad():
        torch.testing.assert_close(names["model"](view[None]), backbone(view[None]))
