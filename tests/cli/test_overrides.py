"""What stands on the command line reaches the configuration, and what makes no sense is refused."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from amask_solo.cli.overrides import checked
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError


def composed(*argv: str) -> DictConfig:
    overrides = checked("pretrain", argv)
    with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
        return compose("pretrain", overrides)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("max_epochs=7", "max_epochs", 7),
        ("name='a b, c=[1]'", "name", "a b, c=[1]"),
        ('name="it\'s"', "name", "it's"),
        ("run_folder=runs/lr=1,2/ep=3", "run_folder", "runs/lr=1,2/ep=3"),
        ("trainer.devices=[0,1]", "trainer.devices", [0, 1]),
        ("optimizer.kwargs={momentum:0.5,eta:0.1}", "optimizer.kwargs.momentum", 0.5),
        ("optimizer.kwargs.nesterov=true", "optimizer.kwargs.nesterov", True),
        ("scheduler.lr_decay_steps=[3,6]", "scheduler.lr_decay_steps", [3, 6]),
        ("scheduler.warmup_epochs=null", "scheduler.warmup_epochs", None),
        ("adversary.draw=one", "adversary.draw", "one"),
        ("+adversary.every=2", "adversary.every", 2),
        ("adversary.masker.projection.inner.area=[0.1,0.2]", "adversary.masker.projection.inner.area", [0.1, 0.2]),
        ("adversary.optimizer.lr=1e-4", "adversary.optimizer.lr", 1e-4),
        ("augmentations.1.crop_size=24", "augmentations.1.crop_size", 24),
        ("+augmentations.0.std=[0.5]", "augmentations.0.std", [0.5]),
        ("backbone.kwargs.patch_size=8", "backbone.kwargs.patch_size", 8),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val", 0.5),
        ("data.mean=[0.5,0.5,0.5]", "data.mean", [0.5, 0.5, 0.5]),
    ],
)
def test_a_value_arrives_as_it_was_written(override, key, value):
    assert OmegaConf.select(composed(override), key) == value


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1))
@settings(max_examples=8, deadline=None)
def test_any_text_arrives_in_quotes(text):
    quoted = QuotedString(text, Quote.single).with_quotes()
    value = OmegaConf.to_container(composed(f"name={quoted}"))["name"]
    assert value == text


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("max_epoch", "max_epochs"),
        ("data.num_trian", "num_train"),
        ("data.men", "mean"),
        ("adversary.drw", "draw"),
        ("adversary.maskers.num_masks", "masker"),
        ("adversary.masker.num_mask", "num_masks"),
        ("adversary.masker.projection.iner", "inner"),
        ("optimizer.batchsize", "batch_size"),
        ("scheduler.warmup", "warmup_epochs"),
        ("loader.workers", "num_workers"),
        ("method_kwargs.proj_hiden_dim", "proj_hidden_dim"),
        ("augmentations.0.crop_siz", "crop_size"),
    ],
)
@pytest.mark.parametrize("sign", ["", "++"])
def test_an_unknown_key_is_answered_with_the_nearest(key, nearest, sign):
    with pytest.raises(UserError, match=f"did you mean '{nearest}'"):
        checked("pretrain", [f"{sign}{key}=1"])


PROJECTIONS = "amask_solo.projections"
SIGMOID = {"_target_": f"{PROJECTIONS}.Sigmoid"}
QUARTER = {"_target_": f"{PROJECTIONS}.AreaBudget", "area": 0.25}


@pytest.mark.parametrize(
    ("value", "projection"),
    [
        ("{_target_:amask_solo.projections.Sigmoid}", SIGMOID),
        (
            "{inner:{_target_:amask_solo.projections.Sigmoid}}",
            {"_target_": f"{PROJECTIONS}.Disjoint", "inner": SIGMOID},
        ),
        ("[{_target_:amask_solo.projections.Sigmoid}]", [SIGMOID]),
        ("{inner:{area:0.1}}", {"_target_": f"{PROJECTIONS}.Disjoint", "inner": QUARTER | {"area": 0.1}}),
    ],
)
def test_another_target_takes_the_place_of_what_stood_there(value, projection):
    cfg = composed("masker=sequential_three", f"adversary.masker.projection={value}")
    assert cfg.adversary.masker.projection == projection
    assert cfg.adversary.masker.num_masks == 3


@pytest.mark.parametrize("masker", ["saliency", "saliency_focal"])
def test_a_localiser_goes_to_the_masker_that_asks_for_one(masker):
    node = composed(f"masker={masker}", "localiser=spectral_residual", "max_epochs=3").adversary.masker
    node = node if masker == "saliency" else node.masker
    assert node.localiser._target_.endswith("SpectralResidual")


@pytest.mark.parametrize("argv", [["localiser=everywhere"], ["localiser=everywhere", "method=byol"]])
def test_a_localiser_that_nobody_asks_for_is_refused(argv):
    with pytest.raises(UserError, match="masker=saliency"):
        checked("pretrain", argv)


def test_an_unknown_key_within_a_dictionary_is_found():
    with pytest.raises(UserError, match="did you mean 'num_train'"):
        checked("pretrain", ["data={num_trian:3}"])


def test_a_value_has_no_keys():
    with pytest.raises(UserError, match="seed is a single value"):
        checked("pretrain", ["seed.start=1"])


@pytest.mark.parametrize(("choice", "nearest"), [("method=byoll", "byol"), ("masker=sequental", "sequential")])
def test_an_unknown_choice_is_answered_with_the_nearest(choice, nearest):
    with pytest.raises(UserError, match=f"Unknown choice .* did you mean '{nearest}'"):
        checked("pretrain", [choice])


def test_each_choice_of_a_sweep_is_looked_at():
    with pytest.raises(UserError, match="did you mean 'amask_simclr'"):
        checked("pretrain", ["-m", "method=byol,amask_simclrr"])
    with pytest.raises(UserError, match="Unknown key 'pred_hidden_dim'"):
        checked("pretrain", ["-m", "method=byol,simclr", "method_kwargs.pred_hidden_dim=8"])


def test_a_sweep_needs_its_flag():
    with pytest.raises(UserError, match=r"Several values for seed.* -m"):
        checked("pretrain", ["seed=0,1"])


def test_a_sweep_over_patterns_of_names_passes():
    sweep = ["method=glob(*sim*,exclude=amask*)", "seed=range(3)"]
    assert checked("pretrain", [*sweep, "-m"]) == [sweep[0], f"++{sweep[1]}", "-m"]
    with pytest.raises(UserError, match="No choice of method"):
        checked("pretrain", ["-m", "method=glob(zzz*)"])


def test_flags_may_stand_anywhere():
    assert checked("pretrain", ["seed=0,1", "-m", "method=byol", "--config-name", "pretrain"]) == [
        "++seed=0,1",
        "method=byol",
        "-m",
        "--config-name",
        "pretrain",
    ]


@pytest.mark.parametrize("argument", ["method=byol masker=sequential", "method=simclr adversary.draw=one"])
def test_a_stock_method_has_no_adversary(argument):
    with pytest.raises(UserError, match=r"method=\w+ is not masked.*amask_"):
        checked("pretrain", argument.split())


@pytest.mark.parametrize(
    ("argument", "message"), [("data.num_train", "KEY=VALUE"), ("seed=[1", "Cannot read"), ("--foo", "--foo")]
)
def test_what_cannot_be_read_is_quoted(argument, message):
    with pytest.raises(UserError, match=message):
        checked("pretrain", [argument])


def test_the_keys_of_an_own_class_are_its_own_business():
    with pytest.raises(UserError, match="Unknown key 'width'"):
        checked("pretrain", ["method=simclr", "method_kwargs.width=3"])
    own = ["method=simclr", "method_kwargs.width=3", "momentum.base_tau=0.9", "base_class=some.Class"]
    assert len(checked("pretrain", own)) == len(own)


@pytest.mark.parametrize("how", ["--config-dir {}", "-cd {}", "hydra.searchpath=[file://{}]"])
def test_a_folder_of_ones_own_adds_choices(how, tmp_path):
    (tmp_path / "masker").mkdir()
    (tmp_path / "masker" / "one.yaml").write_text("# @package adversary.masker\ndefaults: [sequential]\nnum_masks: 1\n")
    argv = [*how.format(tmp_path).split(), "masker=one", "adversary.masker.num_masks=2"]
    assert "masker=one" in checked("pretrain", argv)
    with pytest.raises(UserError, match="did you mean 'one'"):
        checked("pretrain", [*argv, "masker=onee"])


def test_a_missing_folder_of_ones_own_is_named():
    with pytest.raises(UserError, match="no folder of configuration files '/nowhere'"):
        checked("pretrain", ["--config-dir", "/nowhere", "seed=1"])


def test_a_broken_file_of_ones_own_is_no_crash(tmp_path):
    (tmp_path / "masker").mkdir()
    (tmp_path / "masker" / "broken.yaml").write_text("a: [1\nb: 2\n")
    with pytest.raises(UserError, match="YAML"):
        checked("pretrain", ["--config-dir", str(tmp_path), "masker=broken"])
