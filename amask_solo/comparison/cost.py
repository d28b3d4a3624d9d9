"""What runs cost, and how that compares with the stock run beside them."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from amask_solo.comparison.plan import STOCK
from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import grouped
from amask_solo.comparison.tables import Table
from amask_solo.comparison.wording import number

COST_NOTE = """\
Medians over seeds; "to stock" are medians over pairs of runs with the same base and seed, since runs of different seeds
may have had machines of different speed. Seconds a step were measured in the runs themselves: they mean little if the
machine had other work, such as other runs of this comparison. Seconds a run are the wall time of pretraining and its
validation, without evaluation: other work of the machine and its pauses are in them too."""


def cost_table(records: Sequence[Record]) -> Table:
    """Return what runs cost: medians over seeds, and over pairs with stock of the same base and seed."""
    header = ["base", "arm", "epochs", "seconds a step", "to stock", "peak memory (MiB)", "to stock", "seconds a run"]
    stock = {(run.base, run.seed): run for run in records if run.arm == STOCK}

    def cells(runs: Sequence[Record]) -> list[str]:
        return [
            number(_median(_known(run, "epochs_done") for run in runs), 0),
            number(_median(_known(run, "seconds_per_step") for run in runs), 3),
            _to_stock(runs, stock, "seconds_per_step"),
            number(_median(_known(run, "peak_memory_mib") for run in runs), 0),
            _to_stock(runs, stock, "peak_memory_mib"),
            number(median(run.seconds for run in runs), 0),
        ]

    return Table(header, [[*pair, *cells(runs)] for pair, runs in grouped(records).items()])


def _known(run: Record | None, key: str) -> float | None:
    value = run.summary.get(key) if run else None
    return None if value is None else float(value)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _to_stock(runs: Sequence[Record], stock: Mapping[tuple[str, int], Record], key: str) -> str:
    pairs = [(_known(run, key), _known(stock.get((run.base, run.seed)), key)) for run in runs]
    ratio = _median(value / reference if value and reference else None for value, reference in pairs)
    return "-" if ratio is None else f"{number(ratio, 2)}x"
