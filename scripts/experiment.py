#!/usr/bin/env python
"""Run an experiment by a plan: choose the settings of each family of arms, then confirm them on new images and seeds.

Usage::

    python scripts/experiment.py tune                   # equally many random trials of each family; can be continued
    python scripts/experiment.py choose                 # the best trial of each family, into chosen.json
    python scripts/experiment.py confirm                # the comparisons that count
    python scripts/experiment.py tune trainer=gpu hydra/launcher=joblib hydra.launcher.n_jobs=8

The plan, ``results/experiment/plan.yaml``, is written beforehand; ``--plan`` names another one. A plan whose arms name
no family has nothing to tune. ``amask-compare`` makes all runs, gets the other arguments of the command line, and does
not repeat finished runs. Small files are kept beside the plan: reports, and the configuration, numbers and scores of
each finished run. The experiment can be continued elsewhere from these files, without any checkpoint. The report on the
tuning includes all trials.
"""

import argparse
import csv
import json
import math
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from amask_solo.comparison.plan import key_of
from amask_solo.runs.run_folder import LEARNS, MAY_CHANGE

PLAN = Path(__file__).resolve().parents[1] / "results" / "experiment" / "plan.yaml"
CHOSEN = "chosen.json"
OF_RUN = ("summary.json", "comparison.json", "config.yaml", "metrics.csv")
EVERY = 20  # seconds between two checks for finished runs

Settings = dict[str, Any]


def draw(space: Mapping[str, Any], seed: str) -> Settings:
    """Draw the settings of one trial. Each key has its own random stream, so changing one key does not affect others.

    Args:
        space: Key -> a list of choices, which may be mappings of several keys; or ``{low, high}``, drawn uniformly, or
            log-uniformly with ``log: true``.
        seed: The seed of the trial.

    Example:
        >>> sorted(draw({"masker": ["random_block"], "pick": [{"fill": "blur", "area": 0.5}]}, "0"))
        ['area', 'fill', 'masker']
    """
    found: Settings = {}
    for key, choices in space.items():
        stream = random.Random(f"{seed}/{key}")
        if isinstance(choices, Mapping):
            log = choices.get("log", False)
            ends = [math.log(choices[end]) if log else choices[end] for end in ("low", "high")]
            value = stream.uniform(*ends)
            chosen: Any = float(f"{math.exp(value) if log else value:.3g}")
        else:
            chosen = stream.choice(choices)
        found |= chosen if isinstance(chosen, Mapping) else {key: chosen}
    return found


def trials(plan: Mapping[str, Any]) -> dict[str, dict[str, Settings]]:
    """Return family -> name of a trial -> its settings; all families have the same number of trials."""
    tune = plan["tune"]
    return {
        name: {
            f"{name}_{n}": family.get("fixed", {}) | draw(family["ranges"], f"{tune['draw']}/{name}/{n}")
            for n in range(tune["trials"])
        }
        for name, family in plan["families"].items()
    }


def choose(plan: Mapping[str, Any], rows: Sequence[Mapping[str, str]], *, lost: bool) -> Settings:
    """Return the best trial of each family, and the scores of all trials.

    Args:
        plan: The plan.
        rows: The rows of the report's table, one for each run.
        lost: Whether a trial with a run without a score counts as lost; otherwise it is an error.
    """
    tune = plan["tune"]
    runs = len(tune["compare"]["base"]) * len(tune["compare"]["seed"])
    chosen: Settings = {"metric": tune["metric"], "draw": tune["draw"], "trials": tune["trials"], "families": {}}
    for family, made in trials(plan).items():
        scored = [row for row in rows if row[tune["metric"]]]
        found = {arm: [float(row[tune["metric"]]) for row in scored if row["arm"] == arm] for arm in made}
        scores = {arm: fmean(values) for arm, values in found.items() if len(values) == runs}
        missing = sorted(made.keys() - scores.keys())
        if not scores or (missing and not lost):
            raise SystemExit(f"Not finished: {', '.join(missing)}. Run `tune` again, or count them as lost: --lost.")
        best = max(scores, key=lambda arm: scores[arm])
        chosen["families"][family] = {"trial": best, "settings": made[best], "scores": scores, "lost": missing}
    return chosen


def check_tuned(plan: Mapping[str, Any], report: str) -> None:
    """Raise an error if the scores in a report belong to other settings, for example after an edit of the plan.

    Args:
        plan: The plan.
        report: The report on the tuning, which contains its command.
    """
    command = next((line for line in report.splitlines() if line.startswith("amask-compare ")), "")
    # Of a key that is given twice, the last value counts, as in the command.
    asked = {key_of(text): text.lstrip("+") for text in shlex.split(command)[1:]}
    ((_, settings),) = comparisons(plan, "tune", None)
    planned = {key_of(key): word(key, value).lstrip("+") for key, value in settings.items()}
    differ = sorted(key for key in planned.keys() | asked.keys() if planned.get(key) != asked.get(key))
    if other := [key.removeprefix("definitions.") for key in differ if not _may_differ(key)]:
        raise SystemExit(
            f"The report on the tuning is of another plan: {', '.join(other)} differ. Undo the change, or tune anew: "
            "with the plan in another folder, and another `work`."
        )


def _may_differ(key: str) -> bool:
    """Return whether a key says only where and how runs are made, and not what they learn."""
    return key not in LEARNS and key.replace("/", ".").partition(".")[0] in (*MAY_CHANGE, "folder", "hydra")


def confirming(plan: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Settings]:
    """Return the arms of the plan, each with the settings of the best trial of its family."""
    made, arms = trials(plan) if "tune" in plan else {}, {}
    for name, arm in plan["confirm"]["arms"].items():
        own = {key: value for key, value in arm.items() if key != "family"}
        best: Settings = {}
        if "family" in arm:
            best = chosen["families"][arm["family"]]["settings"]
            if best not in made[arm["family"]].values():
                raise SystemExit(f"chosen.json is of another plan: {arm['family']} has no such trial. Choose again.")
        arms[name] = best | own
    return arms


def comparisons(plan: Mapping[str, Any], step: str, chosen: Mapping[str, Any] | None) -> Iterator[tuple[str, Settings]]:
    """Yield the name of the folder and the settings of ``amask-compare`` for each comparison of a step."""
    tuning = plan["tune"]["compare"] if "tune" in plan else {"seed": []}
    if step == "tune":
        arms = {arm: made for family in trials(plan).values() for arm, made in family.items()}
        yield "tune", {**plan["all"], **tuning, "split": "tune", **_arms(arms)}
        return
    arms = confirming(plan, chosen or {})
    for name, own in plan["confirm"]["compare"].items():
        if seen := set(own["seed"]) & set(tuning["seed"]):
            raise SystemExit(f"confirm.compare.{name} has seeds that tuned: {sorted(seen)}. Take others.")
        yield f"confirm_{name}", {**plan["all"], **own, **_arms(arms)}


def _arms(arms: Mapping[str, Settings]) -> Settings:
    return {"arms": ["stock", *arms], **{f"+definitions.{arm}": made for arm, made in arms.items()}}


def word(key: str, value: Any) -> str:
    """Return one setting as an argument of the command line.

    Example:
        >>> word("seed", [0, 1]), word("+definitions.a", {"masker": "centered", "adversary.share": 0.5})
        ('seed=[0,1]', '+definitions.a={masker: centered,adversary.share: 0.5}')
    """
    return f"{key}={_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}: {_shown(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_shown, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def carry_out(settings: Settings, more: Sequence[str], work: Path, kept: Path) -> int:
    """Make or continue a comparison from its kept files, keep the files of finished runs, and return the exit code.

    Ctrl-C, of which ``amask-compare`` is told as well, is raised when that has ended.
    """
    for run in (kept / "runs").glob("*"):
        if not (place := work / "runs" / run.name).exists():  # else it is made again there
            place.mkdir(parents=True)
            for file in (run / name for name in OF_RUN if (run / name).exists()):
                shutil.copy(file, place)
    if (kept / "split.txt").exists():
        work.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept / "split.txt", work)
    command = [sys.executable, "-m", "amask_solo.cli.compare", *(word(*pair) for pair in settings.items())]
    command += [f"folder={work}", *more]
    print(shlex.join(command), flush=True)
    process = subprocess.Popen(command)  # noqa: S603 - our own command
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY)
            keep(work, kept, settings["protocol"])
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        keep(work, kept, settings["protocol"])
    return process.returncode


def keep(work: Path, kept: Path, protocols: Sequence[str]) -> None:
    """Copy the small files of the runs that have been evaluated by all protocols, and of the report."""
    kept.mkdir(parents=True, exist_ok=True)
    for file in (*work.glob("report.md"), *work.glob("report.csv"), *work.glob("*.png"), *work.glob("split.txt")):
        shutil.copy(file, kept)
    for scores in work.glob("runs/*/comparison.json"):
        if not {*protocols} <= {result["protocol"] for result in json.loads(scores.read_text())["results"]}:
            continue
        place = kept / "runs" / scores.parent.name
        place.mkdir(parents=True, exist_ok=True)
        for name in OF_RUN:
            shutil.copy(scores.parent / name, place)


def read_plan(file: Path) -> dict[str, Any]:
    """Return a plan, or end with a line that says why it is none."""
    try:
        plan = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise SystemExit(f"Cannot read the plan {file}: {error}") from error
    if not isinstance(plan, dict) or not {"all", "confirm", "work"} <= {*plan}:
        raise SystemExit(f"{file} is no plan: it has no `all`, `confirm` and `work`, as {PLAN} has.")
    return plan


def write_choice(plan: Mapping[str, Any], results: Path, *, lost: bool) -> None:
    """Choose the best trial of each family by the report on the tuning, and write it beside the plan."""
    if not (report := results / "tune" / "report.md").exists():
        raise SystemExit(f"{report} is missing: `tune` writes it.")
    check_tuned(plan, report.read_text())
    with report.with_suffix(".csv").open(newline="") as table:
        chosen = choose(plan, list(csv.DictReader(table)), lost=lost)
    (results / CHOSEN).write_text(json.dumps(chosen, indent=2) + "\n")
    print(json.dumps({name: found["settings"] for name, found in chosen["families"].items()}, indent=2))


def read_choice(plan: Mapping[str, Any], results: Path) -> dict[str, Any] | None:
    """Return the best trial of each family that the arms of a plan name; None if they name none."""
    if not any("family" in arm for arm in plan["confirm"]["arms"].values()):
        return None
    if not (file := results / CHOSEN).exists():
        raise SystemExit(f"{file} is missing: `choose` writes it.")
    return json.loads(file.read_text())


def main() -> None:
    """Run a step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("step", choices=["tune", "choose", "confirm"])
    parser.add_argument("--plan", type=Path, default=PLAN, help=f"default: {PLAN}")
    parser.add_argument("--lost", action="store_true", help="a trial without a score cannot win")
    parser.add_argument("--only", metavar="NAME", help="one of the confirming comparisons; default: all in turn")
    parser.add_argument("more", nargs="*", metavar="KEY=VALUE", help="for amask-compare: where and how it runs")
    arguments = parser.parse_intermixed_args()
    if arguments.only and arguments.step != "confirm":
        parser.error(f"--only names one of the confirming comparisons; leave it out of `{arguments.step}`.")
    plan = read_plan(arguments.plan)
    results = arguments.plan.parent
    if arguments.step != "confirm" and "tune" not in plan:
        raise SystemExit(f"{arguments.plan} tunes nothing: all its arms come as they are. `confirm` makes the runs.")
    if arguments.step == "choose":
        write_choice(plan, results, lost=arguments.lost)
        return
    asked = dict(comparisons(plan, arguments.step, read_choice(plan, results) if arguments.step == "confirm" else None))
    if arguments.only:
        if (only := f"confirm_{arguments.only}") not in asked:
            names = ", ".join(name.removeprefix("confirm_") for name in asked)
            raise SystemExit(f"The plan has no comparison {arguments.only!r}. It has: {names}.")
        asked = {only: asked[only]}
    codes = []
    for name, settings in asked.items():
        codes.append(carry_out(settings, arguments.more, Path(plan["work"]) / name, results / name))
        if codes[-1] > 128:  # it was told to end
            break
    sys.exit(max(map(abs, codes), default=0))  # the code of a killed process is negative


if __name__ == "__main__":
    main()
