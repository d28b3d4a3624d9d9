"""Every configuration file composes, says what it is, and builds what it names."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import cycle

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from amask_solo.augment.views import Views
from amask_solo.checkpoints.view_filter import build_filter
from amask_solo.configuration import config_folder, instantiate
from amask_solo.data import ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Protocol
from amask_solo.hosts.installed import load_host
from amask_solo.layout import PARTS
from amask_solo.masked.settings import build_settings, described
from amask_solo.runs.host_config import host_config, method_class
from amask_solo.runs.run_folder import settle
from tests.daily import one_in

CONFIGS = config_folder()


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    # The folder of a run is named after Hydra's choices, which exist under its own command alone.
    with initialize_config_dir(config_dir=str(CONFIGS.resolve()), version_base="1.3"):
        cfg = compose("pretrain", overrides=[*overrides, "run_folder=runs/test"])
    OmegaConf.set_struct(cfg, False)
    return cfg


def composed(*overrides: str) -> DictConfig:
    return deepcopy(_composed(overrides))


def without_adversary(cfg: DictConfig) -> dict:
    plain = OmegaConf.to_container(cfg)
    return {key: value for key, value in plain.items() if key not in ("method", "adversary")}


ALWAYS = [part for part, default in PARTS.items() if default]
"""The kinds of parts of which an adversary always has one."""

STOCK = [name for name in names("method") if not name.startswith("amask_")]
EXPERIMENTS = names("experiment")
FILES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))

DIMS = {"proj_hidden_dim", "proj_output_dim"}
PREDICTED = DIMS | {"pred_hidden_dim"}
VARIANCE = DIMS | {"sim_loss_weight", "var_loss_weight", "cov_loss_weight"}
READ_BY_THE_HOST = {
    "all4one": PREDICTED | {"temperature", "queue_size"},
    "barlow_twins": DIMS | {"lamb", "scale_loss"},
    "byol": PREDICTED,
    "deepclusterv2": DIMS | {"num_prototypes", "temperature", "kmeans_iters"},
    "dino": DIMS
    | {"num_prototypes", "clip_grad", "freeze_last_layer", "norm_last_layer", "use_bn_in_head"}
    | {"student_temperature", "teacher_temperature"}
    | {"warmup_teacher_temperature", "warmup_teacher_temperature_epochs"},
    "mocov2plus": DIMS | {"temperature", "queue_size"},
    "mocov3": PREDICTED | {"temperature"},
    "nnbyol": PREDICTED | {"queue_size"},
    "nnclr": PREDICTED | {"temperature", "queue_size"},
    "nnsiam": PREDICTED | {"queue_size"},
    "ressl": DIMS | {"temperature_q", "temperature_k", "queue_size"},
    "simclr": DIMS | {"temperature"},
    "simsiam": PREDICTED,
    "supcon": DIMS | {"temperature"},
    "swav": DIMS
    | {"temperature", "num_prototypes", "queue_size", "epoch_queue_starts"}
    | {"freeze_prototypes_epochs", "sk_iters", "sk_epsilon"},
    "vibcreg": VARIANCE | {"iternorm"},
    "vicreg": VARIANCE,
    "wmse": DIMS | {"whitening_iters", "whitening_size", "whitening_eps"},
}
TEACHERS = {"all4one", "byol", "dino", "mocov2plus", "mocov3", "nnbyol", "ressl"}
SMALL = {
    "proj_hidden_dim": 32,
    "proj_output_dim": 16,
    "pred_hidden_dim": 32,
    "queue_size": 256,
    "num_prototypes": 12,
}


@pytest.fixture(scope="module")
def images() -> ImageData:
    return make_shapes(num_train=64, num_val=8)


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_it_is_below_its_package(file: str) -> None:
    lines = (CONFIGS / file).read_text().splitlines()
    # After any other comment Hydra ignores the header, silently.
    headers = [number for number, line in enumerate(lines) if line.startswith("# @package")]
    assert headers in ([], [0])
    said = lines[len(headers)]
    assert said.startswith("# ")
    assert len(said.split()) > 2


@pytest.mark.parametrize("group", ALWAYS)
def test_a_part_lands_below_the_adversary(group: str) -> None:
    for name in names(group):
        header = (CONFIGS / group / f"{name}.yaml").read_text().splitlines()[0]
        assert header == f"# @package adversary.{group}"


def test_every_kind_of_part_has_a_default_choice_on_the_command_line() -> None:
    chosen = OmegaConf.load(CONFIGS / "adversary" / "default.yaml").defaults
    assert {key.strip("/"): choice for entry in chosen for key, choice in entry.items()} == PARTS


def test_there_is_a_file_for_every_method_and_its_masked_version() -> None:
    assert set(STOCK) == set(READ_BY_THE_HOST)
    assert set(names("method")) == {*STOCK, *(f"amask_{name}" for name in STOCK)}
    assert set(load_host().methods()) - {"mae"} <= set(STOCK)


@pytest.mark.parametrize("name", STOCK)
def test_a_stock_method_states_all_that_the_host_reads_and_has_no_adversary(name: str) -> None:
    cfg = composed(f"method={name}")
    assert cfg.method == name
    assert set(cfg.method_kwargs) == READ_BY_THE_HOST[name]
    assert ("momentum" in cfg) == (name in TEACHERS)
    assert not OmegaConf.missing_keys(cfg.optimizer)
    assert "adversary" not in cfg


@pytest.mark.parametrize("name", STOCK)
def test_a_masked_method_is_the_stock_method_and_an_adversary(name: str) -> None:
    masked, stock = composed(f"method=amask_{name}"), composed(f"method={name}")
    assert masked.method == f"amask_{name}"
    assert without_adversary(masked) == without_adversary(stock)
    assert masked.adversary.masker._target_.endswith("SequentialMasker")


@pytest.mark.parametrize("name", STOCK)
def test_masked_methods_differ_in_their_name_alone(name: str) -> None:
    # So what one of them takes, all of them take: the parts need be tried with one only.
    text = (CONFIGS / "method" / f"amask_{name}.yaml").read_text()
    assert text.replace(name, "byol") == (CONFIGS / "method/amask_byol.yaml").read_text()


@pytest.mark.parametrize(
    "chosen",
    one_in(
        3,
        (
            dict(zip(ALWAYS, options, strict=True))
            for options in zip(names("masker"), *(cycle(names(g)) for g in ALWAYS[1:]), strict=False)
        ),
    ),
)
def test_all_parts_can_be_exchanged_at_once(chosen: dict[str, str]) -> None:
    cfg = composed(*(f"{group}={option}" for group, option in chosen.items()))
    for group, option in chosen.items():
        assert cfg.adversary[group] == described(group, option)


@pytest.mark.parametrize(
    ("group", "option"), one_in(2, [(group, option) for group in ALWAYS for option in names(group)])
)
def test_every_part_builds(group: str, option: str) -> None:
    three = ["masker=sequential_three"] if option in ("overlap", "per_mask") else []
    settings = build_settings(composed("method=amask_byol", f"{group}={option}", *three))
    parts = {
        "masker": settings.adversary.masker,
        "fill": settings.adversary.game.fill,
        "constraint": settings.adversary.game.constraint,
        "update": settings.adversary.update,
        "hard_views": settings.adversary.game.hard_views,
    }
    target = OmegaConf.load(CONFIGS / group / f"{option}.yaml")._target_
    assert type(parts[group]).__name__ == target.rpartition(".")[2]


def test_arguments_of_the_adversary_are_added_on_the_command_line() -> None:
    settings = build_settings(composed("++adversary.draw=all", "++adversary.masker.num_masks=2"))
    assert settings.adversary.game.num_shown == 2


def test_a_part_of_the_adversary_is_refused_for_a_stock_method() -> None:
    with pytest.raises(ConfigCompositionException, match="masker"):
        composed("method=byol", "masker=simultaneous")


@pytest.mark.host
@pytest.mark.parametrize("name", [f"{prefix}{name}" for name in STOCK for prefix in ("", "amask_")])
def test_a_method_is_built_from_its_file(name: str, images: ImageData) -> None:
    base = name.removeprefix("amask_")
    if base not in load_host().methods():
        pytest.skip(f"the {load_host().generation} has no {base}")
    cfg = composed(f"method={name}")
    for key in SMALL.keys() & cfg.method_kwargs.keys():
        many = OmegaConf.is_list(cfg.method_kwargs[key])
        cfg.method_kwargs[key] = [SMALL[key]] * 3 if many else SMALL[key]
    views = Views(cfg.augmentations, mean=images.mean, std=images.std)
    model = method_class(name)(host_config(cfg, images, views, devices=1))
    assert isinstance(model, load_host().methods()[base])
    assert hasattr(model, "adversary") == (name != base)


def test_a_method_knows_how_large_its_images_are_stored_and_seen(images: ImageData) -> None:
    cfg = composed("method=byol", "optimizer.batch_size=8")
    views = Views(cfg.augmentations, mean=images.mean, std=images.std)
    with pytest.warns(UserWarning, match=r"training have 64 px.*evaluation 28 px"):
        known = host_config(cfg, replace(images, image_size=28), views, devices=1).images
    assert (known.stored_size, known.image_size) == (images.train.size, 28)


def test_the_size_of_the_views_decides_on_the_stem(images: ImageData) -> None:
    cfg = composed("method=byol", "optimizer.batch_size=8", "data.image_size=32")
    views = Views(cfg.augmentations, mean=images.mean, std=images.std)
    with pytest.warns(UserWarning, match="96 px"):
        made = host_config(cfg, replace(images, image_size=96), views, devices=1)
    assert made.data.dataset == "cifar10"


def test_the_bounds_of_the_learning_rate_are_those_that_were_given_whatever_the_batch(images: ImageData) -> None:
    cfg = composed("method=simclr", "optimizer.batch_size=8", "accumulate_grad_batches=4", "scheduler.min_lr=1e-5")
    views = Views(cfg.augmentations, mean=images.mean, std=images.std)
    model = method_class("simclr")(host_config(cfg, images, views, devices=1))
    assert (model.min_lr, model.warmup_start_lr) == pytest.approx((1e-5, cfg.scheduler.warmup_start_lr))
    assert model.lr == pytest.approx(cfg.optimizer.lr * 32 / 256)


@pytest.mark.host
def test_a_class_of_ones_own_has_the_demands_of_the_method_that_it_descends_from(images: ImageData) -> None:
    cfg = composed("method=wmse", "optimizer.batch_size=8")
    cfg.method, cfg.base_class = "mine", "solo.methods.WMSE"
    views = Views(cfg.augmentations, mean=images.mean, std=images.std)
    with pytest.raises(UserError, match="whitening_size"):
        host_config(cfg, images, views, devices=1)


@pytest.mark.parametrize(("views", "data"), zip(names("augmentations"), cycle(names("data")), strict=False))
def test_views_follow_the_size_of_the_data(views: str, data: str) -> None:
    cfg = composed(f"augmentations={views}", f"data={data}")
    settle(cfg, {"image_size": 40})
    nodes = OmegaConf.to_container(cfg.augmentations, resolve=True)
    recipes = Views(nodes, mean=(0.5,) * 3, std=(1.0,) * 3).recipes
    small = {round(0.43 * cfg.data.image_size): 6} if views == "multicrop" else {}
    assert {recipe.crop_size for recipe in recipes} == {cfg.data.image_size, *small}
    assert sum(recipe.num_crops for recipe in recipes) == 2 + sum(small.values())


@pytest.mark.parametrize("trainer", names("trainer"))
def test_a_trainer_says_where_and_how_precisely_to_compute(trainer: str) -> None:
    cfg = composed(f"trainer={trainer}")
    assert {"accelerator", "devices", "strategy", "precision"} <= set(cfg.trainer)


@pytest.mark.parametrize("logger", names("logger"))
def test_a_logger_composes(logger: str) -> None:
    assert composed(f"logger={logger}").logger._target_.endswith(logger)


@pytest.mark.parametrize("name", names("protocol"))
def test_a_protocol_builds_below_its_package(name: str) -> None:
    with initialize_config_dir(config_dir=str(CONFIGS.resolve()), version_base="1.3"):
        cfg = compose("evaluate", [f"protocol={name}"])
    if name == "transfer":  # either folders or sets
        cfg.protocol.transfer.folders = "folder"
    for key in OmegaConf.missing_keys(cfg.protocol):
        OmegaConf.update(cfg, key, "folder")
    assert isinstance(instantiate(cfg.protocol[name], f"protocol.{name}"), Protocol)


@pytest.mark.parametrize("experiment", one_in(4, EXPERIMENTS))
def test_an_experiment_is_masked_unless_the_stock_method_is_asked_for(experiment: str) -> None:
    base = experiment.rpartition("_")[2]
    masked, stock = (
        composed(f"experiment={experiment}"),
        composed(f"experiment={experiment}", f"method={base}"),
    )
    assert (masked.method, stock.method) == (f"amask_{base}", base)
    assert masked.name != stock.name  # so neither lies in the other's folder
    assert "adversary" not in stock
    assert without_adversary(masked) == without_adversary(stock)
    assert set(masked.method_kwargs) == READ_BY_THE_HOST[base]
    adversary = build_settings(masked).adversary
    learned = adversary.learned() or adversary.game.hard_views.num_entries > 1
    assert bool(learned) == (not experiment.startswith(("saliency", "mscn")))


@pytest.mark.parametrize("experiment", EXPERIMENTS[::6])
def test_the_command_line_beats_an_experiment(experiment: str) -> None:
    cfg = composed(
        f"experiment={experiment}",
        "data=shapes",
        "trainer=cpu",
        "masker=random_block",
        "max_epochs=1",
    )
    assert cfg.data._target_.endswith("make_shapes")
    assert cfg.trainer.accelerator == "cpu"
    assert cfg.adversary.masker._target_.endswith("RandomMasker")
    assert cfg.max_epochs == 1


def test_adios_is_played_as_published() -> None:
    cfg = composed("experiment=adios_stl10_byol")
    adversary = build_settings(cfg).adversary
    assert type(adversary.update).__name__ == "Alternating"
    assert (adversary.game.num_shown, adversary.game.reduction) == (6, "sum")
    assert adversary.game.constraint.weights == {"sparsity": 1.7193143}
    adversary.start()
    (group,) = adversary.optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.092814037, 0.9, 9.912e-6)
    # The scripts do not scale learning rates by the batch size, this package does.
    assert cfg.optimizer.lr * cfg.optimizer.batch_size / 256 == pytest.approx(0.29203)


def test_adios_s_shows_one_mask_of_all() -> None:
    game = build_settings(composed("experiment=adios_imagenet100_simclr")).adversary.game
    assert (game.masker.num_masks, game.num_shown) == (4, 1)


def test_saliency_is_played_as_published() -> None:
    cfg = composed("experiment=saliency_mocov2plus")
    game = build_settings(cfg).adversary.game
    assert (game.masker.ratio, game.masker.grid, game.masker.slack) == ([0.05, 0.25], 7, 0.6)
    assert type(game.fill).__name__ == "ImageMean"
    assert cfg.view_filter is None
    assert (cfg.backbone.name, cfg.optimizer.lr * cfg.optimizer.batch_size / 256) == ("resnet50", 0.03)


def test_high_passed_views_are_those_of_the_stock_twin_too() -> None:
    masked, stock = (composed("experiment=saliency_high_pass_simclr", *more) for more in ((), ("method=simclr",)))
    assert masked.view_filter == stock.view_filter
    game = build_settings(masked).adversary.game
    assert (type(game.fill).__name__, game.fill.std, game.negatives.fill.std) == ("Noise", 0.18, 0.14)
    for masker, background in ((game.masker, True), (game.negatives.masker, False)):
        assert (masker.share, masker.masker.separate, masker.masker.background) == (0.8, 0.7, background)


@pytest.mark.parametrize("base", ["mocov2plus", "simclr"])
def test_mscn_is_saliency_without_a_localiser_and_negatives_with_masks_on_both_views(base: str) -> None:
    saliency, mscn = (composed(f"experiment={name}_{base}") for name in ("saliency_high_pass", "mscn"))
    assert mscn.adversary.masker.masker.pop("localiser")._target_.endswith("Everywhere")
    assert saliency.adversary.masker.masker.pop("localiser")._target_.endswith("BackboneMap")
    assert mscn.adversary.pop("side") == "both"
    assert saliency.adversary.pop("negatives").masker.masker.localiser._target_.endswith("Shared")
    assert saliency.adversary.pop("loud", "masked") == ("clean" if base == "mocov2plus" else "masked")
    assert mscn.adversary.pop("negatives", None) is None
    assert saliency.adversary == mscn.adversary
    saliency.name = mscn.name = ""
    assert without_adversary(saliency) == without_adversary(mscn)


@pytest.mark.parametrize("name", names("localiser"))
def test_a_localiser_lands_below_the_masker(name: str) -> None:
    header = (CONFIGS / "localiser" / f"{name}.yaml").read_text().splitlines()[0]
    assert header == "# @package adversary.masker.localiser"


@pytest.mark.parametrize("name", names("view_filter"))
def test_a_filter_turns_views_into_views(name: str) -> None:
    view_filter = build_filter(composed(f"view_filter={name}").view_filter)
    views = torch.ones(2, 3, 16, 16)
    assert view_filter is None or view_filter(views).shape == views.shape


@pytest.mark.parametrize("name", [n for n in STOCK if "queue_size" in READ_BY_THE_HOST[n]])
def test_a_queue_holds_whole_batches(name: str) -> None:
    size = composed(f"method={name}").method_kwargs.queue_size
    assert all(size % batch == 0 for batch in (64, 128, 256))
