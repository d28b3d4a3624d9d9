"""Published data sets on the command line."""

import json
import re

import pytest

from tests.cli.command import BARE, SMALL, call
from tests.data.published import LAYOUTS, food101, pets

TINY = ["stem=imagenet", "optimizer.batch_size=8", "trainer=cpu", "max_epochs=1", "data.image_size=32", *SMALL, *BARE]


def test_a_run_on_a_published_set(tmp_path):
    food101(tmp_path / "data")
    said = call("pretrain", "data=food101", *TINY, cwd=tmp_path)
    assert said.code == 0, said.err
    summary = json.loads((tmp_path / "runs/amask_byol_food101_seed0/summary.json").read_text())
    assert (summary["data"], summary["train_images"], summary["classes"]) == ("food101", 8, 2)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (["data=pets"], "Expected pets in data.root=data, as oxford-iiit-pet/images, .* get it by data.download=true"),
        (["data=cars"], "stanford_cars/cars_train is missing; get it by https"),
        (["data=voc"], "Expected voc in data.root=data"),
        (["data=imagenet100", "data.root=IN"], "Expected a folder of images at data.root=IN, but there is none"),
        (["data=imagenet100", "data.root=."], "Expected a folder of images at data.root=train, but there is none"),
        (["data=file_list", "data.list=x.csv"], "Expected a list of images at data.list=x.csv, but there is none"),
    ],
)
def test_what_is_not_there_is_one_line_and_leaves_nothing(choice, said, tmp_path):
    ended = call("pretrain", *choice, *TINY[:4], cwd=tmp_path)
    assert ended.code == 2
    line, *more = ended.err.strip().splitlines()
    assert not more
    assert re.search(said, line), line
    assert not list(tmp_path.iterdir())


def test_one_command_scores_the_backgrounds_challenge_and_a_transfer(finished, tmp_path):
    LAYOUTS["backgrounds"](tmp_path / "bg")
    ask = [f"ckpt={finished.folder}", f"output={tmp_path}/out.json", "device=cpu"]
    pets(tmp_path / "data")
    data = ["data=backgrounds", "data.root=bg", "data.image_size=32", "protocol.linear.weight_decay=0.1"]
    said = call(
        "evaluate", *ask, "protocol=[linear,transfer]", "protocol.transfer.sets={pets:data}", *data, cwd=tmp_path
    )
    assert said.code == 0, said.err
    linear, transfer = (result["scores"] for result in json.loads((tmp_path / "out.json").read_text())["results"])
    assert linear["bg_gap"] == linear["acc1_mixed_same"] - linear["acc1_mixed_rand"]
    assert {"acc1_only_fg", "acc1_no_fg", "acc1_only_bg_t"} < set(linear)
    assert {"pets/linear_mean_per_class", "pets/knn_mean_per_class"} < set(transfer)
