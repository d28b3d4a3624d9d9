"""amask-compare: stock against masked methods at an equal budget."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from amask_solo.cli.comparison import check_comparison, check_scorable, chosen_protocols, make_runs, sort_arguments
from amask_solo.cli.composed import composed
from amask_solo.cli.following import runs_end_first
from amask_solo.cli.main import launch, session
from amask_solo.cli.next_steps import shell
from amask_solo.cli.overrides import checked, searched
from amask_solo.comparison.carry_out import check_evaluable, evaluate, pretrain
from amask_solo.comparison.plan import Run, as_arguments, not_shown, progress
from amask_solo.comparison.split import note_split
from amask_solo.errors import UserError
from amask_solo.files import expanded, make_folder
from amask_solo.layout import CONFIG
from amask_solo.versions import commit


def main() -> None:
    """Run the command."""
    with session() as mistakes:
        typed = searched(sys.argv[1:])
        if any(word.startswith("-") for word in typed):
            launch("compare", checked("compare", typed), _carry_out, mistakes)
            return
        arguments = sort_arguments(typed)
        cfg = composed("compare", arguments)
        check_comparison(cfg)
        plan = make_runs(cfg)
        protocols = chosen_protocols(cfg)
        for run in plan:
            if (run.folder / CONFIG).is_file():
                from amask_solo.runs.run_folder import check_same_run

                check_same_run(run.folder, composed("pretrain", checked("pretrain", run.settings)))
        check_evaluable(plan, protocols)
        left = _unfinished(plan, protocols)
        if left:
            check_scorable(cfg, plan)
        make_folder(expanded(cfg.folder))
        note_split(expanded(cfg.folder), cfg.split)
        Console().print(f"{len(plan)} runs, {len(plan) - len(left)} of them finished before.", highlight=False)
        if left:
            with runs_end_first(lambda: [run.folder for run in plan]):
                launch("compare", ["--multirun", *arguments, f"run={','.join(left)}"], _carry_out, mistakes)
        unfinished = _unfinished(plan, protocols)
        _report(plan, cfg, protocols, unfinished, command=shell(["amask-compare", *typed]))
        if unfinished and not mistakes:
            raise UserError(f"Not finished: {', '.join(unfinished)}. The same command makes them.")


def _carry_out(cfg: DictConfig) -> None:
    """Make the run of a job, which may be in another process or on another machine."""
    plan, protocols = make_runs(cfg, check=False), chosen_protocols(cfg)
    run = next(run for run in plan if run.name == cfg.run)
    console = Console(markup=False, highlight=False)
    if not run.trained:
        console.print(f"{run.name}: pretraining ({progress(plan, protocols)})")
        pretrain(run)
    if lacking := run.lacks(protocols):
        console.print(f"{run.name}: {', '.join(lacking)}")
        trust = [text for text in cfg.evaluation if text.startswith("++trust")]
        evaluate(run, {name: protocols[name] for name in lacking}, trust)


def _report(
    plan: Sequence[Run], cfg: DictConfig, protocols: dict[str, Any], unfinished: dict[str, str], *, command: str
) -> None:
    from amask_solo.comparison.records import read_record
    from amask_solo.comparison.report import compared, write_report
    from amask_solo.comparison.scores import metric_name, scale
    from amask_solo.comparison.tables import difference_table, mean_table

    records = [
        read_record(run.folder, run.base, run.arm, run.seed, protocols=protocols)
        for run in plan
        if run.name not in unfinished
    ]
    tables = compared(records, cfg.metrics)
    report = write_report(
        records,
        tables,
        expanded(cfg.folder),
        command=command,
        split=cfg.split,
        settings=[text.lstrip("+") for text in cfg.settings],
        commit=commit(Path(__file__).parent),
        arms={arm: as_arguments(cfg.definitions.get(arm, {})) for arm in cfg.arms},
        protocols=protocols,
        unfinished=unfinished,
        not_shown=not_shown(plan, expanded(cfg.folder)),
        budget=cfg.budget,
    )
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for metric, rows in tables.items():
        for table in (mean_table(rows, scale(metric)), difference_table(rows, scale(metric))):
            if table.rows:
                console.print(table.console(metric_name(metric)))
    console.print(f"Wrote {report}")


def _unfinished(plan: Sequence[Run], protocols: dict[str, Any]) -> dict[str, str]:
    """Return the name of each run that is still to be made or evaluated -> what is missing."""
    left = {}
    for run in plan:
        lacking = run.lacks(protocols)
        if lacking or not run.trained:
            what = f"not evaluated by {', '.join(lacking)}" if run.trained else "not trained to its end"
            left[run.name] = f"{what}; logs/{run.name}.txt may say why"
    return left


if __name__ == "__main__":
    main()
