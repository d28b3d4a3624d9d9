"""Make the runs and protocols of amask-compare from its command line, and check them before the first run."""

import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.cli.composed import composed
from amask_solo.cli.literal import quoted
from amask_solo.cli.overrides import checked, choice_names, config_folders
from amask_solo.comparison.budget import check_timed, equal_time
from amask_solo.comparison.plan import GAME, Run, key_of, make_plan
from amask_solo.comparison.split import CONFIRM, FRACTION, SETTINGS, TUNE, check_folder, check_split
from amask_solo.configuration import check_rules
from amask_solo.errors import UserError, unknown_key
from amask_solo.files import check_place, expanded
from amask_solo.layout import PREFIX
from amask_solo.rules import PATH, SEED, TEXT, Rule, one_of, or_null, several
from amask_solo.same_images import describe_change
from amask_solo.settings.evaluation import check_demands, check_evaluation, needing, same_for_all
from amask_solo.settings.pretraining import check_downloaded, check_imported, check_values_and_names

OWN = ("base", "arms", "seed", "split", "budget", "folder", "metrics", "definitions", "hydra")
"""The keys for amask-compare itself."""

EVALUATION = ("protocol", "trust")
"""The keys for amask-evaluate; all others are for amask-pretrain."""

CHECKPOINT = "ckpt=."
"""A placeholder for the checkpoint, which differs from run to run."""


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


def sort_arguments(typed: Sequence[str]) -> list[str]:
    """Return the arguments of amask-compare, with those of the other commands packed into two of its keys."""
    own: list[str] = []
    evaluation: list[str] = []
    settings: list[str] = []
    for text in typed:
        key = key_of(text).replace("/", ".")
        # The folders of a user's configuration files are for the runs.
        key = key if key == "hydra.searchpath" else key.split(".")[0]
        (own if key in OWN else evaluation if key in EVALUATION else settings).append(text)
    own = checked("compare", own)
    method = _first_method(own, settings)
    told = checked("pretrain", [*method, *settings])
    packed = {
        "settings": [text for text in told if text not in method],
        "evaluation": [text for text in checked("evaluate", [CHECKPOINT, *evaluation]) if text != f"++{CHECKPOINT}"],
    }
    return own + [f"{key}=[{','.join(map(quoted, texts))}]" for key, texts in packed.items()]


def _first_method(own: Sequence[str], settings: Sequence[str]) -> list[str]:
    """Return the choice of the first base method, with whose keys the settings are checked; the others come later."""
    bases = composed("compare", own).base
    known = several(one_of(*_known_bases(settings))).holds(bases)
    return [f"method={PREFIX}{bases[0]}"] if known else []


def _known_bases(settings: Sequence[str]) -> list[str]:
    methods = choice_names("method", config_folders(settings))
    return sorted(name for name in methods if f"{PREFIX}{name}" in methods)


def make_runs(cfg: DictConfig, *, check: bool = True) -> list[Run]:
    """Return the runs of a comparison; if the budget is time, measure the time of a step first.

    Without ``check``, they are those of a comparison that has been checked as a whole.

    Raises:
        UserError: If the runs make no comparison, or if the settings of a run, with its adapted length, are wrong.
    """
    runs = _plan(cfg)
    if cfg.budget == "time":
        epochs = composed("pretrain", checked("pretrain", runs[0].settings)).max_epochs
        runs = _plan(cfg, epochs=equal_time(runs, epochs=epochs, folder=expanded(cfg.folder)))
        if check:
            _check_runs(cfg, runs, chosen_protocols(cfg))
    return runs


def _plan(cfg: DictConfig, **more: Any) -> list[Run]:
    made: Any = OmegaConf.to_container(cfg, resolve=True)
    return make_plan(
        bases=made["base"],
        arms=made["arms"],
        seeds=made["seed"],
        definitions=made["definitions"],
        settings=[*SETTINGS[cfg.split], *made["settings"]],
        folder=expanded(cfg.folder),
        **more,
    )


def chosen_protocols(cfg: DictConfig) -> dict[str, Any]:
    """Return the name -> the settings of each chosen protocol."""
    made = composed("evaluate", [CHECKPOINT, *cfg.evaluation])
    settings: Any = OmegaConf.to_container(made.protocol, resolve=True)
    return same_for_all(settings)


def check_comparison(cfg: DictConfig) -> None:
    """Check a whole comparison before the first run, which may take hours.

    Raises:
        UserError: If the configuration is wrong; the message names base and arm unless all runs share the mistake.
    """
    check_rules(cfg, RULES)
    _check_bases(cfg)
    _check_masks(cfg)
    check_place(expanded(cfg.folder) / "report.md", "folder")
    check_folder(expanded(cfg.folder), cfg.split)
    check_evaluation(composed("evaluate", [CHECKPOINT, *cfg.evaluation]))
    protocols = chosen_protocols(cfg)
    for metric in cfg.metrics or ():
        if (protocol := metric.split("/")[0]) not in protocols:
            raise unknown_key(protocol, protocols, "metrics", kind="protocol")
    _check_runs(cfg, _plan(cfg), protocols)


def _check_bases(cfg: DictConfig) -> None:
    methods = choice_names("method", config_folders(cfg.settings))
    for base in cfg.base:
        if lacking := [name for name in (base, f"{PREFIX}{base}") if name not in methods]:
            if len(lacking) > 1 or base.startswith(PREFIX):
                raise unknown_key(base, _known_bases(cfg.settings), "base", kind="method")
            raise UserError(
                f"base={base} lacks method/{lacking[0]}.yaml: both {base} and {PREFIX}{base} are trained. Write it "
                "beside the other."
            )


def _check_masks(cfg: DictConfig) -> None:
    """Refuse a setting of the masks for all runs that each arm replaces by its own, and name the arms that do."""
    masked = [arm for arm in cfg.arms if arm in cfg.definitions]
    for text in cfg.settings:
        key, _, value = text.lstrip("+").partition("=")
        replaced = [arm for arm in masked if key in cfg.definitions[arm]]
        if replaced and key.split(".")[0] in GAME:
            said = f"{key}={value} has no effect on the arms that set {key} themselves: {', '.join(replaced)}."
            if len(replaced) == len(masked):
                mine = shlex.quote(f"+definitions.mine={{{key}: {value}}}")
                raise UserError(f"{said} Make it an arm of its own: 'arms=[stock,mine]' {mine}.")
            warnings.warn(said, stacklevel=2)


def _check_runs(cfg: DictConfig, plan: Sequence[Run], protocols: dict[str, Any]) -> None:
    # All seeds have the same mistakes, so the runs of one seed suffice.
    runs = [run for run in plan if run.seed == cfg.seed[0]]
    made = {}
    for run in runs:
        with _of_run(run, shared=run is runs[0]):
            made[run] = composed("pretrain", checked("pretrain", run.settings))
            check_values_and_names(made[run])
            check_split(cfg.split, float(OmegaConf.select(made[run], FRACTION) or 0), protocols)
            plain: Any = OmegaConf.to_container(made[run], resolve=True)
            check_demands(protocols, plain["data"])
            check_downloaded(made[run].data)
            if cfg.budget == "time":
                check_timed(plain)
    # Checks that need imports come last.
    for run in runs:
        with _of_run(run, shared=False):
            check_imported(made[run])


def check_scorable(cfg: DictConfig, plan: Sequence[Run]) -> None:
    """Read the images of a comparison before its next run, if only that shows whether its protocols can score them.

    Raises:
        UserError: If a protocol needs labels or validation images, and there are none, or if finished runs saw others.
    """
    protocols = chosen_protocols(cfg)
    node = composed("pretrain", checked("pretrain", plan[0].settings)).data
    of_labels, of_others = (needing(what, protocols, node._target_) for what in ("labels", "validation"))
    if not of_labels and not of_others:
        return
    from amask_solo.configuration import instantiate

    images = instantiate(node, "data")
    # An arm may have other images by its own settings.
    _check_unchanged([run for run in plan if _of_data(run) == _of_data(plan[0])], images.fingerprint)
    # Without labels, `val_fraction` holds out nothing.
    held_out = "" if images.val else f" data.val_path{' or val_fraction' if images.labeled else ''}"
    if of_labels and not images.labeled:
        raise UserError(
            f"protocol=[{','.join(of_labels)}] needs labels, but the images of '{images.name}' have none: sort them "
            "into a folder for each class, or choose protocols that need none, such as protocol=[attack] "
            f"metrics=[attack/lift]{held_out and ' data.val_path=DIR'}."
        )
    if held_out:
        raise UserError(
            f"protocol=[{','.join([*of_labels, *of_others])}] needs validation images, but '{images.name}' has none: "
            f"give{held_out}."
        )


def _of_data(run: Run) -> list[str]:
    return [text for text in run.settings if key_of(text).split(".")[0] == "data"]


def _check_unchanged(runs: Sequence[Run], now: dict[str, Any]) -> None:
    for run in runs:
        before = run.summary.get("fingerprint") if run.trained else None
        if before and (change := describe_change(before, now)):
            raise UserError(
                f"The images have changed since {run.folder} was trained: {change}. Runs on others do not compare with "
                "it: put the images back as they were, or give another folder=..."
            )


@contextmanager
def _of_run(run: Run, *, shared: bool) -> Iterator[None]:
    """Name the run in errors about its settings, unless all runs share them."""
    try:
        yield
    except UserError as error:
        raise error if shared else UserError(f"base {run.base}, arm {run.arm}: {error}") from error
