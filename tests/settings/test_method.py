"""Settings that the host would answer with a bare assertion are refused before it sees them."""

import inspect
from pkgutil import resolve_name

import pytest
from omegaconf import OmegaConf

from amask_solo.errors import UserError
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import BOTH, by_name
from amask_solo.hosts.names import OPTIMIZERS
from amask_solo.settings.method import check_method, optimizer_kwargs

WITH_QUEUE = ["all4one", "mocov2plus", "nnbyol", "nnclr", "nnsiam", "ressl"]


def with_part(made, **adversary):
    return OmegaConf.merge(made, {"adversary": {"steps": 2, **adversary}})


def test_further_moves_are_made_on_images_that_the_method_takes():
    whitening = cfg("amask_wmse", whitening_size=8, proj_output_dim=2)
    queue = cfg("amask_mocov2plus", queue_size=16)
    for made in (whitening, queue, cfg("amask_simclr"), cfg("amask_swav", queue_size=20)):
        check(with_part(made, part=1))
    check(with_part(queue))
    clusters = cfg("amask_deepclusterv2", num_prototypes=[8])
    check(with_part(clusters, part=1))
    for made in (
        with_part(whitening),
        with_part(clusters),
        with_part(queue, part=0.4),
    ):
        with pytest.raises(UserError, match=r"give adversary\.part=1"):
            check(made)


def cfg(method="amask_byol", batch=8, large=2, small=0, **method_kwargs):
    return OmegaConf.create(
        {
            "method": method,
            "optimizer": {"batch_size": batch},
            "data": {"num_large_crops": large, "num_small_crops": small},
            "method_kwargs": method_kwargs,
        }
    )


def check(made, *, images=64, devices=1, **facts):
    check_method(made, by_name(made.method)._replace(**facts), images=images, devices=devices)


@pytest.mark.parametrize(
    ("method", "method_kwargs", "devices"),
    [
        ("byol", {}, 1),
        ("wmse", {"whitening_size": 4, "proj_output_dim": 2}, 1),
        ("wmse", {"whitening_size": 8, "proj_output_dim": 8, "whitening_eps": 0.1}, 1),
        ("nnclr", {"queue_size": 16}, 2),
        ("nnclr", {}, 2),
        ("swav", {"queue_size": 0}, 1),
        ("swav", {"queue_size": 20}, 1),
        ("swav", {"num_prototypes": 3000}, 1),
        ("deepclusterv2", {"num_prototypes": [64, 10]}, 1),
        ("my_own", {"queue_size": 5}, 1),
    ],
)
def test_what_the_host_accepts_passes(method, method_kwargs, devices):
    check(cfg(f"amask_{method}", **method_kwargs), devices=devices)


@pytest.mark.parametrize(
    ("method", "method_kwargs", "devices", "words"),
    [
        ("wmse", {"whitening_size": 16, "proj_output_dim": 2}, 1, "multiple of method_kwargs.whitening_size=16"),
        ("wmse", {"whitening_size": 3, "proj_output_dim": 2}, 1, "multiple of method_kwargs.whitening_size=3"),
        ("wmse", {"whitening_size": 8, "proj_output_dim": 8}, 1, "whitening_size to exceed"),
        ("wmse", {}, 1, "multiple of method_kwargs.whitening_size=256"),
        *((name, {"queue_size": 20}, 1, "multiple of the 8 images") for name in WITH_QUEUE),
        ("nnclr", {"queue_size": 8}, 2, "multiple of the 16 images"),
        ("nnclr", {"queue_size": 0}, 1, "multiple of the 8 images"),
        ("nnclr", {}, 3, "multiple of the 24 images"),
        ("swav", {"queue_size": 4}, 1, "0 or at least 8"),
        ("deepclusterv2", {"num_prototypes": [65, 10]}, 1, "at most 64"),
        ("deepclusterv2", {"num_prototypes": [33]}, 2, "at most 32"),
        ("deepclusterv2", {"num_prototypes": 33}, 1, "to be a list"),
    ],
)
def test_what_the_host_does_not_accept_is_an_error_that_says_so(method, method_kwargs, devices, words):
    with pytest.raises(UserError, match=words):
        check(cfg(f"amask_{method}", **method_kwargs), devices=devices)


@pytest.mark.parametrize("method", ["simsiam", "amask_simsiam"])
def test_most_methods_take_two_views(method):
    check(cfg(method))
    for large, small in ((3, 0), (2, 2)):
        with pytest.raises(UserError, match=f"{method} does not learn from {large} large views"):
            check(cfg(method, large=large, small=small))
    check(cfg("amask_byol", large=2, small=4))
    check(cfg(method, large=3), many_views=BOTH)


@pytest.mark.parametrize("method", ["swav", "amask_dino"])
def test_small_views_are_for_the_host_that_takes_them(method):
    made = cfg(method, large=2, small=6)
    if load_host().generation == "current":
        check(made, batch=None)
    else:
        with pytest.raises(UserError, match="in solo-learn's GitHub version it does") as refused:
            check(made, batch=None)
        assert str(refused.value).endswith("choose one of byol, simclr, supcon.")
    with pytest.raises(UserError, match="3 large views"):
        check(cfg(method, large=3), batch=None)


def test_a_single_large_view_is_too_few():
    with pytest.raises(UserError, match="two views of the largest size"):
        check(cfg("byol", large=1, small=4), many_views=BOTH)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_gets_what_it_takes_of_a_recipe(name):
    recipe = {"momentum": 0.9, "eta": 0.02, "clip_lr": True, "exclude_bias_n_norm": True}
    kept = optimizer_kwargs(OmegaConf.create({"name": name, "kwargs": recipe}))
    assert set(kept) == set(recipe) & set(inspect.signature(resolve_name(OPTIMIZERS[name])).parameters)
    assert ("eta" in kept) == (name == "lars")


@pytest.mark.parametrize("key", ["momentun", "lr", "weight_decay", "params"])
def test_what_no_optimizer_takes_there_is_an_error(key):
    with pytest.raises(UserError, match=f"Unknown key '{key}'"):
        optimizer_kwargs(OmegaConf.create({"name": "sgd", "kwargs": {key: 1}}))
