"""A run folder from somebody else runs nothing: what its config.yaml names is looked up before anything is built."""

import string
import sys
from pathlib import Path

import hydra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from amask_solo.checkpoints.stored import PARTS, trusted
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError
from tests.modules import write

HONEST = {
    "data": {"_target_": "amask_solo.data.make_shapes", "num_train": 8},
    "adversary": {
        "masker": {
            "_target_": "amask_solo.maskers.SequentialMasker",
            "projection": {"_target_": "amask_solo.projections.Softmax"},
        },
        "update": {"_target_": "amask_solo.game.updates.Reversal"},
        "constraint": {"_target_": "amask_solo.constraints.WeightedSum"},
        "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True},
    },
}


NOT_STORED = ("logger", "protocol")
"""Groups that no run is rebuilt from: the logger of a run is left out, and a protocol is the evaluation's own."""


def look(node, path=Path("run", "config.yaml"), **options):
    return trusted(OmegaConf.create(node), path, **options)


# ---------------------------------------------------------------------- what is trusted


def test_the_parts_of_a_run_are_trusted():
    assert look(HONEST) == HONEST


@pytest.mark.parametrize(
    "group", sorted(folder.name for folder in config_folder().iterdir() if folder.name not in NOT_STORED)
)
def test_whatever_this_package_configures_is_trusted(group):
    for file in (config_folder() / group).rglob("*.yaml"):
        look({"part": _without_interpolations(OmegaConf.to_container(OmegaConf.load(file)))})


def _without_interpolations(node):
    if isinstance(node, dict):
        return {key: _without_interpolations(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_without_interpolations(child) for child in node]
    return None if isinstance(node, str) and "${" in node else node


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.check_call",
        "hydra.utils.get_method",
        "hydra.utils.instantiate",
        "torch.hub.load",
        "torch.load",
        # through a trusted module to something else
        "amask_solo.data.decode.os.system",
        "amask_solo.data.decode.np.load",
        "amask_solo.data.folder_tree.Path.write_text",
        "amask_solo.data.image_folder.torch.load",
        "amask_solo.data.make_shapes.__class__",
        "amask_solo.data.make_shapes.__globals__.update",
        "amask_solo.data.make_shapes.__call__",
        "amask_solo.maskers.base.Masker.__subclasses__",
        "amask_solo.maskers.base.nn.Module",
        "torch.optim.adamw.torch.load",
        # of this package, but no part of a run: it starts programs, or builds what it is told
        "amask_solo.comparison.carry_out.call",
        "amask_solo.configuration.instantiate",
        "amask_solo.configuration.hydra.utils.call",
        "amask_solo.runs.host_config.method_class",
        "amask_solo.cli.pretrain.main",
        # no paths at all
        "eval",
        "",
        ".os.system",
        "os..system",
        "os.system('touch x')",
        "amask_solo.data.",
        5,
        None,
        ["os.system"],
        {"_target_": "os.system"},
    ],
)
@pytest.mark.parametrize("place", ["top", "nested", "list", "partial"])
def test_anything_else_is_one_line_that_names_it(target, place):
    node = {"_target_": target, "_partial_": place == "partial"}
    whole = {
        "top": {"data": node},
        "nested": {"adversary": {"masker": {**HONEST["adversary"]["masker"], "_recursive_": False, "a": node}}},
        "list": {"adversary": {"constraint": {"terms": [1, [{"b": node}]]}}},
        "partial": {"adversary": {"optimizer": node}},
    }[place]
    with pytest.raises(UserError) as caught:
        look(whole)
    assert "\n" not in str(caught.value)
    named = {"top": "data", "nested": "masker.a", "list": "terms.1.0.b", "partial": "optimizer"}
    assert named[place] in str(caught.value)


def test_the_line_names_the_target_and_the_switch():
    with pytest.raises(UserError, match=r"config\.yaml: data names os\.system, .* trust=\[os\]"):
        look({"data": {"_target_": "os.system"}})
    with pytest.raises(UserError, match=r"np\.load of numpy.*trust=\[numpy"):
        look({"data": {"_target_": "amask_solo.data.decode.np.load"}})


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${method}", "${amask_groups:x}", "a${oc.env:HOME}b"])
def test_a_stored_configuration_holds_values_alone(value):
    for node in ({"method": value}, {"data": {"_target_": value}}, {"data": value}):
        with pytest.raises(UserError, match="interpolation"):
            look(node)


def test_where_a_run_took_place_is_left_out_instead_of_looked_at():
    evil = {"_target_": "os.system"}
    assert look({"method": "byol", "logger": evil, "trainer": {"callbacks": [evil]}}) == {"method": "byol"}


WORDS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)


@given(
    root=st.sampled_from([*sys.stdlib_module_names, "torch", "numpy", "hydra", "lightning", "PIL", "amask_solo"]),
    rest=st.lists(WORDS | st.sampled_from(["os", "system", "load", "utils", "call", "data", "cli"]), max_size=4),
)
def test_no_path_outside_is_ever_looked_up(root, rest):
    target = ".".join([root, *rest])
    if target.startswith(tuple(f"{part}." for part in PARTS)):
        return
    before = set(sys.modules)
    with pytest.raises(UserError):
        look({"data": {"_target_": target}})
    assert set(sys.modules) == before


@given(part=st.sampled_from(PARTS), rest=st.lists(WORDS | st.sampled_from(["os", "torch", "nn"]), max_size=3))
def test_a_path_through_a_part_leads_to_a_part_or_nowhere(part, rest):
    target = ".".join([part, *rest])
    try:
        look({"data": {"_target_": target}})
    except UserError:
        return
    assert hydra.utils.get_object(target).__module__.startswith(PARTS)


# ---------------------------------------------------------------------- the current folder


@pytest.mark.parametrize("file", ["mine.py", "mine/__init__.py"])
def test_modules_of_the_current_folder_are_trusted(here, file):
    write(here / file)
    look({"data": {"_target_": "mine.run"}}, here / "runs" / "a" / "config.yaml")


def test_a_module_of_a_package_of_the_current_folder_is_trusted(here):
    write(here / "mine" / "__init__.py", "")
    write(here / "mine" / "parts.py")
    look({"data": {"_target_": "mine.parts.run"}}, here / "runs" / "a" / "config.yaml")


def test_what_a_module_of_the_current_folder_has_imported_is_not_its_own(here):
    write(here / "mine.py", "from os import system\nimport torch")
    for target in ("mine.system", "mine.torch.load"):
        with pytest.raises(UserError, match="trust="):
            look({"data": {"_target_": target}}, here / "runs" / "a" / "config.yaml")


@pytest.mark.parametrize(
    ("file", "target", "config"),
    [
        ("runs/a/evil.py", "runs.a.evil.run", "runs/a/config.yaml"),
        ("theirs/evil.py", "theirs.evil.run", "theirs/runs/a/config.yaml"),
        ("theirs/__init__.py", "theirs.run", "theirs/runs/a/config.yaml"),
        ("evil.py", "evil.run", "config.yaml"),
        ("deep/evil.py", "deep.evil.run", "config.yaml"),
        (".venv/lib/evil.py", "lib.evil.run", "runs/a/config.yaml"),
    ],
)
def test_modules_that_came_with_the_run_are_not_imported(here, file, target, config):
    write(here / file)
    with pytest.raises(UserError, match="trust="):
        look({"data": {"_target_": target}}, here / config)
    assert not (here / file).with_name("imported").exists()


def test_an_environment_below_the_current_folder_is_not_the_current_folder(here, monkeypatch):
    write(here / ".venv" / "site-packages" / "library" / "__init__.py")
    monkeypatch.syspath_prepend(here / ".venv" / "site-packages")
    with pytest.raises(UserError, match=r"trust=\[library\]"):
        look({"data": {"_target_": "library.run"}}, here / "runs" / "a" / "config.yaml")
    assert not (here / ".venv" / "site-packages" / "library" / "imported").exists()


def test_a_module_that_is_named_is_trusted_with_what_lies_below(here, monkeypatch):
    write(here / "elsewhere" / "library" / "parts.py")
    monkeypatch.syspath_prepend(here / "elsewhere")
    node = {"data": {"_target_": "library.parts.run"}}
    for trust in (["library"], ["library.parts"]):
        assert look(node, here / "runs" / "config.yaml", trust=trust) == node
    for trust in (["lib"], ["library.parts.run.more"], ["library.other"]):
        with pytest.raises(UserError, match=r"trust=\[library\.parts\]"):
            look(node, here / "runs" / "config.yaml", trust=trust)


def test_a_module_that_is_not_there_is_an_error(here):
    write(here / "mine.py", "")
    for target in ("mine.nothing", "amask_solo.data.nothing"):
        with pytest.raises(UserError, match=f"cannot find {target}"):
            look({"data": {"_target_": target}}, here / "runs" / "config.yaml")
