"""amask-compare: stock against masked methods at an equal budget."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from amask_solo.cli.composed import composed
from amask_solo.cli.main import launch, session
from amask_solo.cli.overrides import checked
from amask_solo.comparison.budget import equal_time
from amask_solo.comparison.carry_out import LAST, evaluate, pretrain
from amask_solo.comparison.plan import PREFIX, Run, arm_settings, make_plan
from amask_solo.comparison.progress import progress
from amask_solo.comparison.split import CONFIRM, FRACTION, TUNE, check_folder, check_split, note_split, split_settings
from amask_solo.configuration import config_folder
from amask_solo.errors import UserError, unknown_key
from amask_solo.files import check_place, make_folder
from amask_solo.rules import PATH, SEED, TEXT, Rule, check_values, one_of, or_null, several
from amask_solo.runs.evaluation_preflight import check_evaluation
from amask_solo.runs.preflight import check_adversary, check_values_and_names

OWN = ("base", "arms", "seed", "split", "budget", "folder", "metrics", "definitions", "hydra")
"""What the command line says to amask-compare itself."""

EVALUATION = ("protocol", "trust")
"""What it says to amask-evaluate; the rest is for amask-pretrain."""


def _are_arms(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(settings, dict) for settings in value.values())


RULES = {
    "base": several(TEXT),
    "arms": several(TEXT),
    "seed": several(SEED),
    "split": one_of(CONFIRM, TUNE),
    "budget": one_of("epochs", "time"),
    "folder": PATH,
    "metrics": or_null(several(TEXT)),
    "definitions": Rule("arms by name, each with its settings", _are_arms),
}


def main() -> None:
    """Run the command."""
    typed = searched(sys.argv[1:])
    with session() as mistakes:
        if any(word.startswith("-") for word in typed):
            launch("compare", checked("compare", typed), _carry_out, mistakes)
            return
        arguments = sort_arguments(typed)
        cfg = composed("compare", arguments)
        check_comparison(cfg)
        plan = make_runs(cfg)
        protocols = _protocols(cfg)
        _refuse_other_settings(plan)
        left = _unfinished(plan, protocols)
        make_folder(Path(cfg.folder).expanduser())
        note_split(Path(cfg.folder).expanduser(), cfg.split)
        Console().print(f"{len(plan)} runs, {len(plan) - len(left)} of them finished before.", highlight=False)
        if left:
            launch("compare", ["--multirun", *arguments, f"run={','.join(left)}"], _carry_out, mistakes)
        unfinished = _unfinished(plan, protocols)
        _report(plan, cfg, protocols, unfinished, command="amask-compare " + shlex.join(typed))
        if unfinished and not mistakes:
            raise UserError(f"Not finished: {', '.join(unfinished)}. The same command makes them.")


def searched(typed: Sequence[str]) -> list[str]:
    """Return the arguments with ``--config-dir DIR`` as the key that every run gets."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-dir", "-cd")
    known, others = parser.parse_known_args(typed)
    return [f"hydra.searchpath=[file://{Path(known.config_dir).resolve()}]", *others] if known.config_dir else others


def sort_arguments(typed: Sequence[str]) -> list[str]:
    """Return the arguments of amask-compare, those of the other commands packed into two of its keys."""
    own, evaluation, settings = [], [], []
    for text in typed:
        key = text.lstrip("+~").partition("=")[0].replace("/", ".")
        # Own configuration files are those of the runs.
        key = key if key == "hydra.searchpath" else key.split(".")[0]
        (own if key in OWN else evaluation if key in EVALUATION else settings).append(text)
    own = checked("compare", own)
    method = _first_method(own)
    told = checked("pretrain", [*method, *settings])
    packed = {
        "settings": [text for text in told if text not in method],
        # The folder is another one for each run.
        "evaluation": checked("evaluate", ["ckpt=.", *evaluation])[1:],
    }
    return own + [
        f"{key}=[{','.join(QuotedString(text, Quote.single).with_quotes() for text in texts)}]"
        for key, texts in packed.items()
    ]


def _first_method(own: Sequence[str]) -> list[str]:
    """Return the choice of the first base: by its keys those of all runs are looked up, and later each by its own."""
    bases = composed("compare", own).base
    known = several(one_of(*_known_bases())).holds(bases)
    return [f"method={PREFIX}{bases[0]}"] if known else []


def _known_bases() -> list[str]:
    return sorted({file.stem.removeprefix(PREFIX) for file in (config_folder() / "method").glob("*.yaml")})


def make_runs(cfg: DictConfig) -> list[Run]:
    """Return the runs that a comparison has; where time is the budget, steps are timed first.

    Raises:
        UserError: If they make no comparison.
    """
    runs = _plan(cfg)
    if cfg.budget == "epochs":
        return runs
    epochs = composed("pretrain", runs[0].settings).max_epochs
    return _plan(cfg, epochs=equal_time(runs, epochs=epochs, folder=Path(cfg.folder).expanduser()))


def _plan(cfg: DictConfig, **more: Any) -> list[Run]:
    made = OmegaConf.to_container(cfg, resolve=True)
    return make_plan(
        bases=made["base"],
        arms=made["arms"],
        seeds=made["seed"],
        definitions=made["definitions"],
        settings=[*split_settings(cfg.split), *made["settings"]],
        folder=Path(cfg.folder).expanduser(),
        **more,
    )


def check_comparison(cfg: DictConfig) -> None:
    """Check all that a comparison is made of before the first run, which may take hours.

    Raises:
        UserError: If something is wrong that the configuration shows; it names base and arm unless all runs share it.
    """
    try:
        check_values(OmegaConf.to_container(cfg, resolve=True), RULES)
    except ValueError as error:
        raise UserError(str(error)) from error
    known = _known_bases()
    for base in cfg.base:
        if base not in known:
            raise unknown_key(base, known, "base", kind="method")
    check_place(Path(cfg.folder).expanduser() / "report.md", "folder")
    check_folder(Path(cfg.folder).expanduser(), cfg.split)
    check_evaluation(composed("evaluate", ["ckpt=.", *cfg.evaluation]))
    protocols = _protocols(cfg)
    for metric in cfg.metrics or ():
        if (protocol := metric.split("/")[0]) not in protocols:
            raise unknown_key(protocol, protocols, "metrics", kind="protocol")
    # The seed changes nothing about what is wrong, and the runs come seed by seed.
    runs = [run for run in _plan(cfg) if run.seed == cfg.seed[0]]
    made = {}
    for run in runs:
        with _of_run(run, shared=run is runs[0]):
            made[run] = composed("pretrain", checked("pretrain", run.settings))
            check_values_and_names(made[run])
            check_split(cfg.split, float(OmegaConf.select(made[run], FRACTION) or 0), protocols)
    # Only then what needs torch.
    for run in runs:
        with _of_run(run, shared=False):
            check_adversary(made[run])


@contextmanager
def _of_run(run: Run, *, shared: bool) -> Iterator[None]:
    """Name the run in what is wrong with its settings, unless all runs share it."""
    try:
        yield
    except UserError as error:
        raise error if shared else UserError(f"base {run.base}, arm {run.arm}: {error}") from error


def _protocols(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings of each protocol that is to be run."""
    made = composed("evaluate", ["ckpt=.", *cfg.evaluation])
    return OmegaConf.to_container(made.protocol, resolve=True)


def _refuse_other_settings(plan: Sequence[Run]) -> None:
    """Refuse to go on if the runs in the folder are not the ones asked for."""
    for run in plan:
        if (run.folder / "config.yaml").is_file():
            from amask_solo.runs.run_folder import check_same_run

            check_same_run(run.folder, composed("pretrain", checked("pretrain", run.settings)))


def _carry_out(cfg: DictConfig) -> None:
    """Make the run that a job is for; it may be in another process, or on another machine."""
    plan, protocols = make_runs(cfg), _protocols(cfg)
    run = next(run for run in plan if run.name == cfg.run)
    console = Console(highlight=False)
    # A folder that was copied without its checkpoints can no longer be evaluated.
    if not run.trained or (run.lacks(protocols) and not (run.folder / LAST).is_file()):
        console.print(f"{run.name}: pretraining ({progress(plan, protocols)})")
        pretrain(run)
    if lacking := run.lacks(protocols):
        console.print(f"{run.name}: {', '.join(lacking)}")
        # Which protocols are to be run is known by now; their settings are not.
        evaluate(run, lacking, [text for text in cfg.evaluation if text.startswith("++")])


def _report(
    plan: Sequence[Run], cfg: DictConfig, protocols: dict[str, Any], unfinished: dict[str, str], *, command: str
) -> None:
    from amask_solo.comparison.records import read_record
    from amask_solo.comparison.report import METRICS, write_report
    from amask_solo.comparison.statistics import compare
    from amask_solo.comparison.tables import console_table

    metrics = cfg.metrics or METRICS
    records = [
        read_record(run.folder, run.base, run.arm, run.seed, protocols=protocols)
        for run in plan
        if run.name not in unfinished
    ]
    report = write_report(
        records,
        Path(cfg.folder).expanduser(),
        command=command,
        split=cfg.split,
        metrics=metrics,
        settings=[text.lstrip("+") for text in cfg.settings],
        commit=_commit(),
        arms={arm: arm_settings(cfg.definitions.get(arm, {})) for arm in cfg.arms},
        protocols=protocols,
        unfinished=unfinished,
    )
    console = Console(highlight=False, soft_wrap=True)
    for metric in metrics:
        if rows := compare(records, metric):
            console.print(console_table(rows, metric))
    console.print(f"Wrote {report}", markup=False)


def _unfinished(plan: Sequence[Run], protocols: dict[str, Any]) -> dict[str, str]:
    """Return the runs that are still to be made or evaluated, by name, and what is missing."""
    left = {}
    for run in plan:
        lacking = run.lacks(protocols)
        if lacking or not run.trained:
            what = f"not evaluated by {', '.join(lacking)}" if run.trained else "not trained to its end"
            left[run.name] = f"{what}; logs/{run.name}.txt may say why"
    return left


def _commit() -> str | None:
    """Return the commit of the code, if it is a checkout."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    main()
