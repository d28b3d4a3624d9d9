"""amask-compare: stock against masked methods at an equal budget."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from amask_solo.cli.composed import composed
from amask_solo.cli.main import launch, session
from amask_solo.cli.overrides import checked
from amask_solo.comparison.budget import equal_time
from amask_solo.comparison.carry_out import evaluate, pretrain
from amask_solo.comparison.plan import Run, make_plan
from amask_solo.errors import UserError

OWN = ("base", "arms", "seed", "budget", "folder", "definitions", "hydra")
"""What the command line says to amask-compare itself; protocols are for amask-evaluate, the rest for amask-pretrain."""

PROTOCOLS = "protocol=[knn,linear]"
"""What is measured unless the command line says so."""


def main() -> None:
    """Run the command."""
    typed = sys.argv[1:]
    with session() as mistakes:
        if any(word.startswith("-") for word in typed):
            launch("compare", checked("compare", typed), lambda cfg: None, mistakes)
            return
        arguments = _sorted(typed)
        cfg = composed("compare", arguments)
        plan = _plan(cfg)
        protocols = _protocols(cfg)
        _refuse_other_settings(plan)
        left = [run for run in plan if not run.trained or run.lacks(protocols)]
        Console().print(f"{len(plan)} runs, {len(plan) - len(left)} of them finished before.", highlight=False)
        if left:
            names = ",".join(run.name for run in left)
            launch("compare", ["--multirun", *arguments, f"run={names}"], _carry_out, mistakes)
        _report(plan, cfg, protocols, "amask-compare " + shlex.join(typed))
        unfinished = [run.name for run in plan if not run.trained or run.lacks(protocols)]
        if unfinished and not mistakes:
            raise UserError(f"Not finished: {', '.join(unfinished)}. The same command makes them.")


def _sorted(typed: Sequence[str]) -> list[str]:
    """Return the arguments of amask-compare, those of the other commands packed into two of its keys."""
    own, evaluation, settings = [], [], []
    for text in typed:
        key = text.lstrip("+~").partition("=")[0].replace("/", ".")
        # Own configuration files are those of the runs.
        key = key if key == "hydra.searchpath" else key.split(".")[0]
        (own if key in OWN else evaluation if key == "protocol" else settings).append(text)
    packed = {
        "settings": checked("pretrain", settings),
        # The folder is another one for each run.
        "evaluation": checked("evaluate", ["ckpt=.", *evaluation])[1:],
    }
    return checked("compare", own) + [
        f"{key}=[{','.join(QuotedString(text, Quote.single).with_quotes() for text in texts)}]"
        for key, texts in packed.items()
    ]


def _plan(cfg: DictConfig) -> list[Run]:
    made = OmegaConf.to_container(cfg, resolve=True)
    plan: dict[str, Any] = {
        "bases": made["base"],
        "arms": made["arms"],
        "seeds": made["seed"],
        "definitions": made["definitions"],
        "settings": made["settings"],
        "folder": Path(cfg.folder).expanduser(),
    }
    runs = make_plan(**plan)
    if cfg.budget == "epochs":
        return runs
    if cfg.budget != "time":
        raise UserError(f"Expected budget to be 'epochs' or 'time', but got '{cfg.budget}'.")
    epochs = composed("pretrain", runs[0].settings).max_epochs
    return make_plan(**plan, epochs=equal_time(runs, epochs=epochs, folder=plan["folder"]))


def _protocols(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings of each protocol that is to be run."""
    given = [text for text in cfg.evaluation if not text.startswith("++")]
    made = composed("evaluate", ["ckpt=.", *(given or [PROTOCOLS]), *_values(cfg.evaluation)])
    return OmegaConf.to_container(made.protocol, resolve=True)


def _values(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if text.startswith("++")]


def _refuse_other_settings(plan: Sequence[Run]) -> None:
    """Compose each run's configuration: all of them can be made, and those in the folder are the ones asked for."""
    from amask_solo.hosts.run_folder import check_same_run

    for run in plan:
        cfg = composed("pretrain", run.settings)
        if (run.folder / "config.yaml").is_file():
            check_same_run(run.folder, cfg)


def _carry_out(cfg: DictConfig) -> None:
    """Make the run that a job is for; it may be in another process, or on another machine."""
    run = next(run for run in _plan(cfg) if run.name == cfg.run)
    protocols = _protocols(cfg)
    console = Console(highlight=False)
    if not run.trained:
        console.print(f"{run.name}: pretraining")
        pretrain(run)
    if lacking := run.lacks(protocols):
        console.print(f"{run.name}: {', '.join(lacking)}")
        evaluate(run, lacking, _values(cfg.evaluation))


def _report(plan: Sequence[Run], cfg: DictConfig, protocols: dict[str, Any], command: str) -> None:
    raise NotImplementedError
