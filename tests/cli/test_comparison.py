"""What amask-compare makes of its command line, and what it refuses before the first run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from amask_solo.cli.comparison import check_comparison, check_scorable, chosen_protocols, make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.overrides import checked, searched
from amask_solo.comparison import budget, carry_out
from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from tests.data.pictures import labeled_tree
from tests.modules import write

OWN_BASE = (
    "# @package _global_\nmethod: {name}\nbase_class: mine.Own\noptimizer: {{name: adamw, lr: 0.1, weight_decay: 0}}"
)
MASKED = "# @package _global_\ndefaults:\n  - own\n  - /adversary: default\nmethod: amask_own\n"


def asked(*typed):
    """Return the configuration of amask-compare for a few arms, checked as the command does it."""
    arms = [] if any(word.startswith("arms=") for word in typed) else ["arms=[stock,random]"]
    cfg = composed("compare", sort_arguments(searched([*arms, *typed])))
    check_comparison(cfg)
    return cfg


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine/method/own.yaml", OWN_BASE.format(name="own"))
    write(tmp_path / "mine/method/amask_own.yaml", MASKED)
    return tmp_path / "mine"


# ---------------------------------------------------------------------- base methods


@pytest.mark.nightly
def test_a_key_of_the_base_alone_may_be_set():
    cfg = asked("base=[mocov2plus]", "method_kwargs.queue_size=64")
    assert all("++method_kwargs.queue_size=64" in run.settings for run in make_runs(cfg))
    with pytest.raises(UserError, match="queue_size"):
        sort_arguments(["base=[simclr]", "method_kwargs.queue_size=64"])


def test_an_own_base_is_compared_with_its_masked_method(mine):
    runs = make_runs(asked("--config-dir", "mine", "base=[own]", "arms=[stock,random]", "seed=[0]"))
    assert [run.settings[0] for run in runs] == ["method=own", "method=amask_own"]
    for run in runs:
        assert composed("pretrain", run.settings).base_class == "mine.Own"


@pytest.mark.parametrize("name", ["own", "amask_own"])
def test_an_own_base_of_which_one_file_is_missing_is_refused_by_its_name(mine, name):
    (mine / "method" / f"{name}.yaml").rename(mine / "method" / "another.yaml")
    with pytest.raises(UserError, match=f"lacks method/{name}.yaml"):
        asked("--config-dir", "mine", "base=[own]")


# ---------------------------------------------------------------------- protocols


def test_an_evaluation_that_goes_on_gets_the_settings_of_the_lacking_protocols_alone(monkeypatch):
    words = []
    monkeypatch.setattr(carry_out, "call", lambda _, arguments, **__: words.extend(arguments))
    own = "protocol.knn={_target_: amask_solo.evaluation.KNN, k: 5}"
    typed = ["protocol=[knn,robustness,transfer]", own, "protocol.robustness.areas=[0.3]"]
    cfg = asked(*typed, "protocol.transfer.folders=['vögel','two words']")
    protocols = chosen_protocols(cfg)
    assert protocols["knn"] == {"_target_": "amask_solo.evaluation.KNN", "k": 5}
    for lacking in (["robustness"], ["knn"], ["transfer"], ["knn", "robustness"]):
        words.clear()
        carry_out.evaluate(make_runs(cfg)[0], {name: protocols[name] for name in lacking})
        made = composed("evaluate", checked("evaluate", words))
        assert OmegaConf.to_container(made.protocol) == {name: protocols[name] for name in lacking}


@pytest.mark.parametrize("left", ["last.ckpt", "previous.ckpt"])
def test_a_run_that_was_killed_goes_on_from_whichever_checkpoint_it_has(tmp_path, monkeypatch, left):
    words = []
    monkeypatch.setattr(carry_out, "call", lambda _, arguments, **__: words.append(arguments[-1]))
    run = make_runs(asked(f"folder={tmp_path}"))[0]
    carry_out.pretrain(run)
    (run.folder / "checkpoints").mkdir(parents=True)
    (run.folder / "config.yaml").touch()
    carry_out.pretrain(run)
    (run.folder / "checkpoints" / left).touch()
    carry_out.pretrain(run)
    assert words == ["overwrite=true", "overwrite=true", "resume=true"]


def test_all_arms_are_attacked_with_the_same_area():
    areas = [
        chosen_protocols(asked("protocol=[attack]", *more))["attack"]["area"]
        for more in ([], ["protocol.attack.area=null"], ["protocol.attack.area=0.4"])
    ]
    assert areas == [0.25, 0.25, 0.4]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["protocol=[linear,masks]"], "stock runs have none.*protocol.masks.localiser"),
        (["protocol=[segmentation]", "data=cifar10"], "segmentation needs object masks"),
        (
            [
                "protocol=[masks]",
                "protocol.masks.localiser={_target_: amask_solo.localisers.SpectralResidual}",
                "data=stl10",
            ],
            "masks needs object masks",
        ),
        (["protocol=[linear]", "data=image_folder", "data.train_path=.", "data.labels=none"], "linear needs labels"),
    ],
)
def test_a_protocol_that_could_give_no_result_is_refused_before_the_training(typed, message):
    with pytest.raises(UserError, match=message):
        asked(*typed)


def test_a_protocol_that_all_runs_can_have_is_none_of_these():
    localiser = "protocol.masks.localiser={_target_: amask_solo.localisers.SpectralResidual}"
    asked("protocol=[masks,segmentation,knn]", localiser)
    asked("protocol=[attack]", "data=image_folder", "data.train_path=.", "data.labels=none")


# ---------------------------------------------------------------------- equal time


@pytest.mark.nightly
def test_an_arm_that_time_makes_too_short_for_its_warm_up_is_refused_before_the_training(tmp_path, monkeypatch):
    def call(_, arguments, **__):
        folder = Path(arguments[-1].removeprefix("run_folder="))
        seconds = 10.0 if folder.name == "byol_random" else 1.0
        write(folder / "summary.json", json.dumps({"mean_seconds_per_step": seconds, "batches_per_step": 1}))

    monkeypatch.setattr(budget, "call", call)
    typed = ["arms=[stock,random]", "budget=time", "max_epochs=20", f"folder={tmp_path / 'out'}"]
    epochs = [composed("pretrain", run.settings).max_epochs for run in make_runs(asked(*typed, "seed=[0]"))]
    assert epochs == [20, 2]
    with pytest.raises(UserError, match=r"arm random: .*warmup_epochs of at most max_epochs=2"):
        make_runs(asked(*typed, "scheduler.warmup_epochs=5"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["base=[deepclusterv2]"], "deepclusterv2 has no"),
        pytest.param(
            ["arms=[stock,mine]", "+definitions.mine={masker: saliency, localiser: handover}"],
            "arm mine: .*handover",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_run_whose_first_steps_cost_less_than_later_ones_is_not_timed(typed, message):
    with pytest.raises(UserError, match=message):
        asked(*typed, "budget=time")
    asked(*typed)


# ---------------------------------------------------------------------- the images


@pytest.fixture
def photos(tmp_path):
    """Return a comparison of a folder of images, of which the stock run has finished, and the file of one image."""
    train = labeled_tree(tmp_path / "photos", classes={"cat": 4, "dog": 4}, size=32)
    more = ["arms=[stock,random]", "seed=[0]", f"folder={tmp_path / 'out'}", "protocol=[knn]"]
    cfg = asked("data=image_folder", f"data.train_path={train}", "data.val_fraction=0.25", *more)
    plan = make_runs(cfg)
    known = instantiate(composed("pretrain", plan[0].settings).data, "data").fingerprint
    write(plan[0].folder / "summary.json", json.dumps({"status": "finished", "fingerprint": known}))
    return cfg, plan, next((train / "cat").glob("*.png"))


def test_further_runs_of_images_that_have_changed_are_refused(photos):
    cfg, plan, image = photos
    check_scorable(cfg, plan)
    image.rename(image.with_stem("another"))
    with pytest.raises(UserError, match=r"since .*byol_stock_seed0 was trained: as many images, but of other names"):
        check_scorable(cfg, plan)


def test_a_finished_run_that_says_nothing_of_its_images_or_had_others_by_its_settings_stops_no_other(photos):
    cfg, plan, image = photos
    known = plan[0].summary
    image.rename(image.with_stem("another"))
    write(plan[0].folder / "summary.json", json.dumps({"status": "finished"}))
    check_scorable(cfg, plan)
    write(plan[1].folder / "summary.json", json.dumps(known))
    check_scorable(cfg, [plan[0], replace(plan[1], settings=(*plan[1].settings, "data.max_images=6"))])
    with pytest.raises(UserError, match="byol_random_seed0 was trained"):
        check_scorable(cfg, plan)
