"""The table of what is true of each method: whom it is true of, and that nothing stands beside it."""

import ast
from pathlib import Path

import pytest
import torch

import amask_solo
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError
from amask_solo.hosts.contrast import READERS
from amask_solo.hosts.methods import METHODS, UNKNOWN, by_class, by_name
from amask_solo.hosts.refusals import refuse_side
from tests.daily import one_in
from tests.players import attach, batch_of

PACKAGE = Path(amask_solo.__file__).parent
TABLE = PACKAGE / "hosts/methods.py"
NAMES = {*METHODS, *(row.base for row in METHODS.values())}


def spelled(file: Path) -> set[str]:
    """Return the names of methods that a source has as a text, as an attribute, or as what it imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.removeprefix("amask_"))
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name.rpartition(".")[2])
    return found & NAMES


def test_nothing_else_in_the_package_spells_the_name_of_a_method():
    assert spelled(TABLE) == NAMES
    assert {file: spelled(file) for file in PACKAGE.rglob("*.py") if file != TABLE and spelled(file)} == {}


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.sides])
def test_a_method_costs_a_row_and_two_files(name):
    files = {file.stem for file in (config_folder() / "method").glob("*.yaml")}
    assert {name, f"amask_{name}"} <= files


def test_every_file_has_a_row():
    files = {file.stem.removeprefix("amask_") for file in (config_folder() / "method").glob("*.yaml")}
    assert files == {name for name, row in METHODS.items() if row.sides}


@pytest.mark.host
def test_a_name_and_its_class_have_the_same_row(host):
    for name, method in host.methods().items():
        assert by_name(name) is by_name(f"amask_{name}") is by_class(method) is by_class(host.adapt(method)), name
        assert by_name(name) is METHODS[name]


@pytest.mark.host
@pytest.mark.parametrize(("large", "small"), one_in(2, [(2, 2), (3, 0)]))
@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.many_views or row.small_views])
def test_each_view_that_a_method_is_said_to_take_has_a_part_in_its_loss(name, large, small, host, build):
    row = METHODS[name]
    if host.generation not in (row.small_views if small else row.many_views):
        pytest.skip("it does not take them")
    model = build(name, **{"data.num_large_crops": large, "data.num_small_crops": small})
    attach(model)
    model.on_train_start()
    (index, *_, labels), images = batch_of(), torch.randn(2, large + small, 8, 3, 32, 32)
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def loss(changed: int | None) -> float:
        views = [images[int(place == changed)][place] for place in range(large + small)]
        torch.manual_seed(0)
        model.load_state_dict(before)
        return float(model.training_step([index, views, labels], 0).detach())

    assert loss(None) == loss(None)
    for place in range(large + small):
        assert loss(place) != loss(None), place


@pytest.mark.host
def test_a_users_own_subclass_inherits_what_is_true(host):
    own = type("Own", (host.methods()["ressl"],), {})
    assert by_class(own) is METHODS["ressl"]
    assert by_class(type("Own", (host.base,), {})) is by_name("own") is UNKNOWN


@pytest.mark.host
def test_a_masker_does_not_learn_from_a_view_that_passes_no_gradient(host):
    one_sided = type("Own", (host.methods()["ressl"],), {})
    with pytest.raises(UserError, match="Own passes no gradient to view 1"):
        refuse_side(one_sided, 1)
    for method, side in ((one_sided, 0), (one_sided, "both"), (one_sided, None), (host.methods()["byol"], 0)):
        refuse_side(method, side)


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.contrast])
def test_the_loss_of_a_contrastive_method_can_be_read_where_its_step_calls_it(name, host):
    assert set(by_name(name).contrast) <= READERS.keys()
    if name in host.methods():
        assert set(by_name(name).contrast) & set(host.methods()[name].training_step.__code__.co_names)
