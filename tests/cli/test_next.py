"""What is printed can be run: the lines after a run, as a shell reads them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from omegaconf import OmegaConf

from amask_solo.cli.comparison import check_comparison, make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.next_steps import shell
from amask_solo.cli.overrides import checked, searched
from amask_solo.errors import UserError
from tests.cli.command import BARE, HEADS, NARROW, SMALL, TINY, Said, call, pretrain
from tests.cli.test_compare import PATH
from tests.daily import one_in
from tests.data.pictures import labeled_tree
from tests.modules import write

NIGHTLY = (pytest.mark.slow, pytest.mark.nightly)
OWN = '"""Mine."""\nfrom solo.methods import SimCLR\n\n\nclass Own(SimCLR):\n    """Mine."""\n'
QUICK = [*BARE, "advantage=0", "run_folder=my run (1)", "stem=auto"]
KINDS = {
    "the default": SMALL,
    "own masker": [*SMALL, "masker=simultaneous", "adversary.masker.num_masks=2", "constraint=smooth", "fill=blur"],
    "own parts": [
        *SMALL,
        "adversary.masker.projection={_target_:amask_solo.projections.Sigmoid}",
        "adversary.constraint={_target_: amask_solo.constraints.Smoothness}",
        "adversary.draw=one",
    ],
    "stock": [*SMALL, "method=byol"],
    "own folder": [*SMALL, "--config-dir", "mine", "masker=single"],
    "own method": [*NARROW, *HEADS[:2], "method=amask_simclr", "base_class=ownmethod.Own"],
    "wandb": [*SMALL, "logger=wandb", "logger.mode=offline"],
}
SAME = ("adversary", "method", "method_kwargs", "base_class", "backbone", "optimizer", "max_epochs", "stem")


class Trained(NamedTuple):
    """A run in a working directory, and what it printed."""

    cwd: Path
    said: Said

    def lines(self) -> dict[str, list[str]]:
        """Return name -> words of each command after the run, as a shell reads them."""
        assert self.said.code == 0, self.said.err
        found = re.findall(r"^  (\w+) +(amask-.*)$", self.said.out.partition("Next\n")[2], re.MULTILINE)
        return {name: shlex.split(words, comments=True) for name, words in found}


@pytest.fixture(scope="module", params=one_in(4, KINDS))
def kind(request):
    if request.param == "wandb":
        pytest.importorskip("wandb")
    return request.param


@pytest.fixture(scope="module")
def trained(kind, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("trained")
    write(cwd / "mine/masker/single.yaml", "# @package adversary.masker\ndefaults: [sequential]\nnum_masks: 1\n")
    write(cwd / "ownmethod.py", OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(cwd)
        patch.setenv("PYTHONPATH", PATH)
        yield Trained(cwd, pretrain(*QUICK, *KINDS[kind], cwd=cwd))
    sys.modules.pop("ownmethod", None)


def test_the_comparison_after_a_run_has_the_runs_own_arm(kind, trained, monkeypatch):
    offered = trained.lines()["compare"]
    monkeypatch.chdir(trained.cwd)
    cfg = composed("compare", sort_arguments(searched(offered[1:])))
    check_comparison(cfg)
    runs = [run for run in make_runs(cfg) if run.seed == 0]
    made = {run.arm: composed("pretrain", checked("pretrain", run.settings)) for run in runs}
    stored = OmegaConf.load(trained.cwd / "my run (1)" / "config.yaml")
    arm = made.pop("stock" if kind == "stock" else "mine")
    for key in SAME:
        assert OmegaConf.select(arm, key) == stored.get(key), key
    assert kind == "stock" or set(made) == {"stock"}


@pytest.mark.parametrize("name", ["evaluate", "export", pytest.param("compare", marks=NIGHTLY)])
def test_each_line_runs_as_it_is(kind, trained, name):
    if name == "evaluate" and kind not in ("the default", "wandb", "own method"):
        pytest.skip("it has the same words")
    program, *words = trained.lines()[name]
    said = call(program.removeprefix("amask-"), *words, cwd=trained.cwd)
    assert said.code == 0, said.err
    if name == "compare":
        report = trained.cwd / "runs" / "compare" / "report.md"
        program, *words = shlex.split(report.read_text().partition("```bash\n")[2].partition("\n```")[0])
        assert program == "amask-compare"
        again = call("compare", *words, cwd=trained.cwd)
        assert again.code == 0, again.err
        assert re.search(r"^(\d+) runs, \1 of them finished before", again.out)


@pytest.mark.nightly
def test_an_own_method_without_labels_is_offered_no_scores(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "ownmethod.py", OWN)
    images = labeled_tree(tmp_path / "día, 1", classes={"a": 16})
    own = [*KINDS["own method"], *QUICK]
    here = ["data=image_folder", f"data.train_path={images}", "data.image_size=32", "loader.num_workers=0"]
    said = call("pretrain", *own, *here, *(word for word in TINY if not word.startswith("data")), cwd=tmp_path)
    offered = Trained(tmp_path, said).lines()
    assert set(offered) == {"evaluate", "export"}
    assert offered["evaluate"] == ["amask-evaluate", "--help"]
    assert "16 images (0 more to validate), no classes, 32 px" in said.out
    assert "class_loss" not in said.out
    for program, *words in offered.values():
        assert call(program.removeprefix("amask-"), *words, cwd=tmp_path).code == 0


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
