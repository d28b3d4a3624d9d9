"""What is printed can be run: the lines after a run, as a shell reads them."""

import re
import shlex
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from amask_solo.cli.comparison import check_comparison, make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.next_steps import shell
from amask_solo.cli.overrides import checked, searched
from amask_solo.errors import UserError
from tests.cli.command import BARE, SMALL, TINY, call, pretrain
from tests.data.pictures import labeled_tree
from tests.modules import write

OWN = '"""Mine."""\nfrom solo.methods import SimCLR\n\n\nclass Own(SimCLR):\n    """Mine."""\n'
QUICK = [*SMALL, *BARE, "advantage=0", "run_folder=my run (1)"]
KINDS = {
    "the default": [],
    "own masker": ["masker=simultaneous", "adversary.masker.num_masks=2", "constraint=smooth", "fill=blur"],
    "projection": ["adversary.masker.projection={_target_:amask_solo.projections.Sigmoid}", "adversary.draw=one"],
    "stock": ["method=byol"],
    "own constraint": ["adversary.constraint={_target_: amask_solo.constraints.Smoothness}"],
    "own folder": ["--config-dir", "mine", "masker=single"],
}


def lines(said):
    """Return name -> words of each command after a run."""
    assert said.code == 0, said.err
    found = re.findall(r"^  (\w+) +(amask-.*)$", said.out.partition("Next\n")[2], re.MULTILINE)
    return {name: shlex.split(words) for name, words in found}


@pytest.fixture
def mine(tmp_path):
    write(tmp_path / "mine/masker/single.yaml", "# @package adversary.masker\ndefaults: [sequential]\nnum_masks: 1\n")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_after_a_run_has_the_runs_own_arm(kind, mine, monkeypatch):
    offered = lines(pretrain(*QUICK, *KINDS[kind], cwd=mine))["compare"]
    monkeypatch.chdir(mine)
    cfg = composed("compare", sort_arguments(searched(offered[1:])))
    check_comparison(cfg)
    made = {run.arm: composed("pretrain", checked("pretrain", run.settings)) for run in make_runs(cfg)}
    trained = OmegaConf.load(mine / "my run (1)" / "config.yaml")
    arm = made.pop("stock" if kind == "stock" else "mine")
    for key in ("adversary", "method", "method_kwargs", "optimizer", "max_epochs", "stem"):
        assert OmegaConf.select(arm, key) == trained.get(key), key
    assert kind == "stock" or set(made) == {"stock"}


def test_the_other_lines_run_as_they_are(mine):
    said = pretrain(*QUICK, cwd=mine)
    offered = lines(said)
    few = ["protocol=[knn]", "device=cpu"]
    assert call("evaluate", *offered["evaluate"][1:], *few, cwd=mine).code == 0
    exported = call("export", *offered["export"][1:], cwd=mine)
    assert exported.code == 0, exported.err
    assert "knn" in (mine / "my run (1)" / "evaluation.json").read_text()


def test_an_own_method_without_labels_is_offered_no_scores(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "ownmethod.py", OWN)
    images = labeled_tree(tmp_path / "día, 1", classes={"a": 16})
    own = ["method=amask_simclr", "base_class=ownmethod.Own", *SMALL[:2], *QUICK[len(SMALL) :]]
    here = ["data=image_folder", f"data.train_path={images}", "data.image_size=32", "loader.num_workers=0"]
    said = call("pretrain", *own, *here, *(word for word in TINY if not word.startswith("data")), cwd=tmp_path)
    assert set(lines(said)) == {"evaluate", "export"}
    assert lines(said)["evaluate"][:2] == ["amask-evaluate", "--help"]
    assert "16 images (0 more to validate), no classes, 32 px" in said.out


def test_bytes_that_are_no_text_are_typed_as_a_shell_reads_them():
    words = shell(["two words", chr(0xDCE9)])
    said = subprocess.run(["bash", "-c", f"printf %s {words}"], capture_output=True, check=True)
    assert said.stdout == b"two words\xe9"


# ---------------------------------------------------------------------- arms


def test_a_setting_that_every_arm_replaces_is_refused_with_an_arm_that_has_it():
    with pytest.raises(UserError, match=r"masker=saliency has no effect.*\+definitions\.mine=\{masker: saliency\}"):
        check_comparison(composed("compare", sort_arguments(["masker=saliency"])))


def test_the_arms_that_replace_a_setting_are_named():
    typed = ["masker=saliency", "arms=[stock,random,saliency]"]
    with pytest.warns(UserWarning, match="set masker themselves: random"):
        check_comparison(composed("compare", sort_arguments(typed)))


# ---------------------------------------------------------------------- flags


def test_the_version_is_ours(tmp_path):
    from amask_solo import __version__

    assert call("export", "--version", cwd=tmp_path).out == f"amask-solo {__version__}\n"


def test_completion_is_installed_and_asked(tmp_path, monkeypatch):
    assert "complete -o" in call("pretrain", "-sc", "install=bash", cwd=tmp_path).out
    monkeypatch.setenv("COMP_LINE", "amask-pretrain masker=seq")
    monkeypatch.setenv("COMP_POINT", "25")
    assert "masker=sequential" in call("pretrain", "-sc", "query=bash", cwd=tmp_path).out


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path):
    command = f"{sys.executable} -m amask_solo.cli.export --help | true; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("0\n", "")
