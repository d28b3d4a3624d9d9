"""amask-evaluate: score a pretrained backbone, or the masks of its masker."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.status import Status
from rich.table import Table

from amask_solo.cli.jobs import own_place
from amask_solo.cli.main import command
from amask_solo.cli.sweep_table import add_row, table_at_the_end
from amask_solo.errors import UserError
from amask_solo.runs.run_folder import find_places
from amask_solo.settings.evaluation import check_evaluation


def main() -> None:
    """Run the command."""
    with table_at_the_end() as rows:
        command("evaluate", partial(_run, rows))


def _run(rows: Path, cfg: DictConfig) -> None:
    # The imports take seconds, so the checks come first.
    check_evaluation(cfg)
    places = find_places(cfg)
    if cfg.output:
        own_place(rows, places[1], "Leave out output, or put the swept key into it.")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with console.status("starting") as status:
        from amask_solo.runs.evaluate import evaluate

        outcome = evaluate(cfg, places, partial(_tell, console, status))
    add_row(rows, {"checkpoint": str(cfg.ckpt), **outcome.main_scores})
    if outcome.results:
        console.print(_table(outcome.results))
        console.print(f"Accuracies and overlaps are in percent. {outcome.said}")
        if outcome.view_filter:
            console.print(f"Views passed {outcome.view_filter}, as in training.")
        left = [outcome.path.parent / file for result in outcome.results for file in result.get("files", ())]
        console.print(f"Wrote {', '.join(map(str, [outcome.path, *left]))}")
    if outcome.mistakes:
        raise UserError(" ".join(f"{name}: {error}" for name, error in outcome.mistakes.items()))


def _tell(console: Console, status: Status, doing: str, how_far: str = "") -> None:
    """Show the present activity: in place in a terminal, or as a line for each step of a long activity in a file."""
    words = f"{doing}: {how_far}" if how_far else doing
    if console.is_terminal:
        status.update(words)
    elif how_far:
        console.print(words)


def _table(results: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in ("protocol", "data", "score", "value"):
        table.add_column(name, justify="right" if name == "value" else "left", overflow="fold")
    for result in results:
        for number, (name, value) in enumerate(result["scores"].items()):
            first = (result["protocol"], result["data"]) if number == 0 else ("", "")
            table.add_row(*first, name, str(value) if isinstance(value, int) else f"{value:.2f}")
        table.add_section()
    return table


if __name__ == "__main__":
    main()
