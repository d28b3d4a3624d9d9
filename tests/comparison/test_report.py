import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from amask_solo.comparison.cost import cost_table
from amask_solo.comparison.records import read_record
from amask_solo.comparison.report import chosen_metrics, compared, write_report
from amask_solo.comparison.split import CONFIRM
from amask_solo.comparison.statistics import Difference, Row, compare
from amask_solo.comparison.tables import difference_table
from amask_solo.comparison.wording import answer
from amask_solo.errors import UserError
from tests.comparison.folder import EPOCHS, LINEAR, SEEDS, make_comparison, make_run, read_all, record

ASKED = {
    "command": "amask-compare base=[byol,simclr] data=cifar10",
    "settings": ["data=cifar10", "max_epochs=10"],
    "commit": "0123abc",
    "arms": {"stock": [], "sequential": ["masker=sequential"], "random": ["masker=random_block"], "adios": []},
    "protocols": {"linear": {"epochs": 100}},
    "split": CONFIRM,
    "unfinished": {},
    "not_shown": [],
    "budget": "epochs",
}


def write(records, folder, **more):
    return write_report(records, compared(records), folder, **(ASKED | more)).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def report(folder):
    return write(read_all(folder), folder)


def section(report, title):
    return report.split(f"## {title}\n", 1)[1].split("\n## ")[0]


def table(report, title, place=0, keys=2):
    """Return the cells of one of a section's tables, by its first columns."""
    tables = [part for part in section(report, title).strip().split("\n\n") if part.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[place].splitlines()]
    return {tuple(row[:keys]): row[keys:] for row in cells[2:]}


def test_the_sections_stand_in_order(report):
    assert re.findall(r"^#+ (.+)$", report, re.MULTILINE) == [
        "Stock against masked",
        "By linear accuracy",
        "By kNN accuracy",
        "Cost",
        "Masks",
        "Score against time",
        "Training curves",
        "Convergence",
        "Mask panels",
        "Settings",
        "Reproduce",
    ]


def test_the_answer_comes_first_and_says_what_the_intervals_say(report):
    paragraph = report.split("\n\n")[1]
    assert "`random` against `stock`: no difference seen: +0.3 points" in paragraph
    assert "`sequential` against `stock`: higher by 2.4 points" in paragraph
    assert "- byol: `random` against `stock`: no difference seen" in report
    said = "lower by 2.0 points, 95 % interval [-2.2, -1.8], corrected [-3.0, -1.0], 3 seeds"
    assert f"`adios` against `stock`: {said}" in report


def test_the_report_says_on_which_images_the_runs_were_scored(report, tmp_path):
    records = read_all(make_comparison(tmp_path))
    for made in records:
        made.summary.update(train_images=1024, val_images=256)
    tuning = write(records, tmp_path, split="tune")
    assert "scored on 256 images that were held out of the training images, and trained on the other 1024" in tuning
    assert tuning.startswith("# Choosing settings, not a result\n")
    assert "All runs trained on all 1280 training images" in report


def test_the_accuracy_table_has_known_numbers(report):
    rows = table(report, "By linear accuracy")
    assert rows["byol", "stock"] == ["61.0 ± 1.0", "3"]
    assert rows["byol", "adios"] == ["59.0 ± 1.1", "3"]
    assert len(rows) == len(LINEAR)
    rows = table(report, "By linear accuracy", 1, keys=3)
    assert rows["byol", "adios", "stock"] == ["-2.0", "[-2.2, -1.8]", "[-3.0, -1.0]", "3"]
    assert rows["byol", "adios", "random"] == ["-2.3", "[-3.9, -0.7]", "[-8.5, 3.9]", "3"]
    assert rows["all bases", "random", "stock"] == ["+0.3", "[-0.2, 0.8]", "[-0.7, 1.3]", "6"]
    assert "| base | arm | against | difference | 95 % interval | corrected | pairs |" in report
    assert table(report, "By kNN accuracy")["byol", "stock"][0] == "56.0 ± 1.0"


def test_scores_that_are_no_percentages_have_no_points_and_three_digits_and_say_which_way_is_better(folder, tmp_path):
    def lift(run):
        return {"attack/lift": 0.622 - 0.01 * run.seed - (0.2 + 0.002 * run.seed) * (run.arm != "stock")}

    runs = [replace(run, scores=lift(run)) for run in read_all(folder) if run.base == "byol"]
    text = write(runs, tmp_path)
    assert "By attack lift (not in percent; lower is better), byol." in text
    assert "`adios` against `stock`: lower by 0.202, 95 % interval [-0.207, -0.197], corrected" in text
    shown = section(text, "By attack lift")
    assert "| byol | stock | 0.612 ± 0.010 | 3 |" in shown
    assert "| byol | adios | stock | -0.202 | [-0.207, -0.197] |" in shown
    assert "\nNot in percent; lower is better.\n" in shown
    assert "Not in percent" not in section(write(read_all(folder), tmp_path), "By linear accuracy")


def test_a_difference_has_the_digits_of_its_intervals():
    row = Row("byol", "x", 3, 50.0, 0.1, {"stock": Difference(0.03, (0.02, 0.04), 3, corrected=(-0.1, 0.2))})
    assert difference_table([row]).rows[0][3:6] == ["+0.03", "[0.02, 0.04]", "[-0.10, 0.20]"]


def test_the_words_hold_for_as_many_differences_as_a_table_shows(report):
    shown = section(report, "By linear accuracy").split("\nPercent;")[0].count("[")
    # Each has a plain interval and a corrected one.
    assert f"up to {shown // 2} here" in report


def test_intervals_over_images_stand_beside_those_over_seeds_and_the_first_lines_say_what_each_covers(folder, tmp_path):
    records = read_all(folder)
    assert "**Intervals over seeds do not cover the choice of the images.** Other images" in head(records, tmp_path)
    chance = np.random.default_rng(0)
    told = [replace(r, right={"linear/acc1": chance.random(50) < r.scores["linear/acc1"] / 100}) for r in records]
    for made in told:
        made.summary["val_images"] = 50
    text = head(told, tmp_path)
    assert "Those over images do (a paired bootstrap)" in text
    assert "one of 50 is 2.0 points" in text
    report = (tmp_path / "report.md").read_text()
    assert "| corrected | over images | pairs |" in report
    assert re.fullmatch(r"\[.+, .+\]", table(report, "By linear accuracy", 1, keys=3)["byol", "random", "stock"][3])


def head(records, folder):
    return write(records, folder).split("\n## ")[0]


@pytest.mark.parametrize(
    ("images", "kind"),
    [
        ({"_target_": "amask_solo.data.load_cifar10"}, "test"),
        ({"_target_": "amask_solo.data.load_image_folder", "val_path": "birds/val"}, "validation"),
        ({"_target_": "amask_solo.data.load_image_folder", "val_path": "birds/test"}, "test"),
        ({"_target_": "amask_solo.data.load_image_folder", "val_path": None}, "validation"),
        ({}, "validation"),
    ],
)
def test_the_report_says_whether_images_are_for_validation_or_for_the_test(folder, tmp_path, images, kind):
    text = head([replace(r, images=images) for r in read_all(folder)[:6]], tmp_path)
    assert f"{kind} images (`split=confirm`)" in text
    assert "validation or test" not in text


def test_the_tables_are_there_for_a_paper_and_the_plots_too(report, folder):
    text = (folder / "report.tex").read_text()
    assert r"60.8 $\pm$" not in text
    assert r"byol & stock & 61.0 $\pm$ 1.0 & 3 \\" in text
    assert r"base & arm & against & difference & 95 \% interval & corrected & pairs \\" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\caption") == 7
    for name in ("accuracy_time", "curves", "differences"):
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_costs_are_medians_relative_to_stock_of_the_same_base(report):
    rows = table(report, "Cost")
    assert rows["byol", "stock"] == ["10", "0.102", "1.00x", "1,000", "1.00x", "25"]
    assert rows["byol", "adios"] == ["10", "0.245", "2.40x", "1,500", "1.50x", "60"]
    assert "mean little if the machine had other" in " ".join(section(report, "Cost").split())


def test_costs_are_compared_within_a_seed_and_a_stock_run_without_a_partner_changes_no_ratio(folder):
    runs = [run for run in read_all(folder) if run.base == "byol" and run.arm in ("stock", "adios")]
    before, alone = cost_table([run for run in runs if run.seed < 2]), runs[2]
    alone.summary.update(seconds_per_step=4 * alone.summary["seconds_per_step"], peak_memory_mib=9000)
    for table in (before, cost_table([run for run in runs if run.seed < 2 or run.arm == "stock"])):
        assert [(row[1], row[4], row[6]) for row in table.rows] == [
            ("stock", "1.00x", "1.00x"),
            ("adios", "2.40x", "1.50x"),
        ]
    no_pair = cost_table([alone, *(run for run in runs if run.seed < 2 and run.arm == "adios")])
    assert no_pair.rows[1][4] == no_pair.rows[1][6] == "-"


def test_what_time_there_is_includes_is_said(report):
    for title in ("Cost", "Score against time"):
        assert "other work of the machine and its pauses are in" in " ".join(section(report, title).split())


def test_only_masked_arms_have_masks(report):
    rows = table(report, "Masks")
    assert ("byol", "stock") not in rows
    assert rows["byol", "random"] == ["0.250", "0.200", "0.050", "0.300", "1.250", "-"]


def test_every_picture_exists_and_opens(report, folder):
    pictures = re.findall(r"!\[[^\]]+\]\((.+?)\)|src=\"(.+?)\"", report)
    names = [a or b for a, b in pictures]
    plots = ["accuracy_time.png", "curves.png", "differences.png"]
    assert names == [*plots, "masks_random.png", "masks_adios.png", "masks_sequential.png"]
    for name in names:
        Image.open(folder / name).verify()


def test_a_mask_panel_is_the_last_of_the_lowest_seed_of_the_first_base(report, folder):
    with Image.open(folder / "masks_adios.png") as picture:
        assert picture.getpixel((0, 0)) == (20 * EPOCHS, 0, 90)
    assert "`adios` (byol_adios_seed0)" in report


def test_settings_arms_and_conditions_are_stated(report):
    text = section(report, "Settings")
    assert "All runs share `data=cifar10 max_epochs=10`." in text
    assert "- `stock`: the host's method as it is\n- `random`: `masker=random_block`\n- `adios`: the masked" in text
    assert '- protocol `linear`: `{"epochs": 100}`' in text
    for line in ("| device | cpu (x86_64, 1 threads) |", "| torch | 2.15.0 |", "| epochs | 10 |"):
        assert line in text
    assert "amask-solo" not in text


def test_with_equal_time_the_epochs_of_each_arm_are_stated_and_masks_are_settings_of_masked_runs(folder, tmp_path):
    records = [run for run in read_all(folder) if run.base == "byol" and run.arm in ("stock", "adios")]
    shorter = [replace(run, summary=run.summary | {"epochs": 6}) if run.arm == "adios" else run for run in records]
    settings = {"settings": ["data=cifar10", "max_epochs=10", "adversary.share=0.25"]}
    tables = compared(shorter)
    text = write_report(shorter, tables, tmp_path, **(ASKED | settings | {"budget": "time"})).read_text()
    said = section(text, "Settings")
    assert "All runs share `data=cifar10`. All masked runs share `adversary.share=0.25`" in said
    assert "Epochs: byol `stock` 10, byol `adios` 6." in said
    text = write_report(records, tables, tmp_path, **(ASKED | settings)).read_text()
    assert "All runs share `data=cifar10 max_epochs=10`. All masked" in text
    assert "Epochs:" not in text


def test_finished_runs_that_are_not_shown_are_named_in_the_first_lines(folder, tmp_path):
    records = read_all(folder)
    text = write(records, tmp_path, not_shown=["byol_other_seed0", "byol_other_seed1"])
    assert text.split("\n\n")[1].startswith("**Finished runs not shown here: `byol_other_seed0`, `byol_other_seed1`.**")
    many = write(records, tmp_path, not_shown=[f"byol_other_seed{n}" for n in range(14)])
    assert "`byol_other_seed9` and 4 more.**" in many
    assert "not shown" not in write(records, tmp_path)


def test_conditions_that_differ_are_all_stated(tmp_path):
    records = read_all(make_comparison(tmp_path))
    records[-1].summary["device"] = "NVIDIA H200"
    text = write(records, tmp_path)
    assert "| device | cpu (x86_64, 1 threads), NVIDIA H200 |" in text


def test_command_and_commit_are_stated(report):
    text = section(report, "Reproduce")
    assert f"```bash\n{ASKED['command']}\n```" in text
    assert "Commit: 0123abc." in text


def test_a_whole_comparison_mentions_no_missing_run(report):
    assert "nfinished" not in report
    assert "Missing" not in report


def test_the_csv_has_a_row_a_run_and_all_numbers(report, folder):
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(LINEAR) * len(SEEDS)
    first = rows[0]
    assert (first["base"], first["arm"], first["seed"]) == ("byol", "stock", "0")
    assert (first["linear/acc1"], first["masks/area"], first["metrics/val_loss"]) == ("60.0", "", "1.5")
    assert (first["device"], first["versions/torch"]) == ("cpu (x86_64, 1 threads)", "2.15.0")
    assert "data" not in first
    assert float(rows[3]["masks/entropy"]) == pytest.approx(0.1)
    for row in rows:
        assert float(row["linear/acc1"]) == LINEAR[row["base"], row["arm"]][int(row["seed"])]


def test_a_report_with_missing_runs_says_so_in_its_first_lines_and_names_them(tmp_path):
    records = read_all(make_comparison(tmp_path))[:-1]
    missing = {"simclr_sequential_seed2": "CUDA out of memory"}
    text = write(records, tmp_path, unfinished=missing)
    assert text.splitlines()[2].startswith("**Unfinished: 1 of 24 runs are missing here.**")
    assert "- `simclr_sequential_seed2`: CUDA out of memory" in section(text, "Missing runs")
    assert "`sequential` against `stock`: no difference seen: +1.6 points, 95 % interval [-0.9, 4.1]" in text


def test_a_report_without_any_run_says_that_there_is_no_answer(tmp_path):
    text = write([], tmp_path / "new", unfinished={"byol_stock_seed0": "not started"})
    assert "No run is finished" in text
    assert "1 of 1 runs" in text
    assert "amask-compare" in text


def test_one_run_is_enough_for_a_report(tmp_path):
    run = make_run(tmp_path, "byol", "stock", 0, accuracy=60.0)
    text = write([read_record(run, "byol", "stock", 0)], tmp_path)
    assert "No arm can be compared by linear accuracy yet." in text
    assert table(text, "By linear accuracy") == {("byol", "stock"): ["60.0", "1"]}


def test_the_same_runs_in_another_order_give_the_same_report(folder, report):
    assert write(read_all(folder)[::-1], folder) == report


def test_a_metric_that_no_run_has_is_refused_with_the_nearest_one(folder, tmp_path):
    with pytest.raises(UserError, match=r"Unknown score 'knn/acc2' in metrics; did you mean 'knn/acc1'\?"):
        compared(read_all(folder), ["knn/acc2", "linear/acc1"])


def test_without_a_usual_metric_the_first_score_of_each_protocol_is_compared():
    scores = {"finetune/acc1_fraction0.1": 30.0, "finetune/acc1": 50.0, "clustering/nmi": 20.0, "clustering/ari": 9.0}
    runs = [replace(record("byol", arm, 0, 50.0), scores=scores) for arm in ("stock", "random")]
    assert chosen_metrics(runs, None) == ["finetune/acc1_fraction0.1", "clustering/nmi"]
    assert chosen_metrics([replace(run, scores=scores | {"knn/acc1": 1.0}) for run in runs], None) == ["knn/acc1"]
    assert chosen_metrics([], ["knn/acc1"]) == ["knn/acc1"]


def test_the_table_for_the_terminal_has_the_same_numbers():
    runs = [record("byol", arm, seed, LINEAR["byol", arm][seed]) for arm in ("stock", "adios") for seed in SEEDS]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(difference_table(compare(runs, "linear/acc1")).console("linear accuracy"))
    assert re.search(r"-2\.0 +│ +\[-2\.2, -1\.8\]", captured.get())
    assert "linear accuracy" in captured.get()


def test_accuracy_over_the_hidden_area_is_drawn_where_it_was_measured(folder, tmp_path):
    scores = {"curve/acc1": 60.0, "curve/acc1_worst_area0.1": 20.0, "curve/acc1_worst_area0.4": 1.0}
    records = [replace(r, scores=r.scores | scores) for r in read_all(folder)]
    path = write_report(records, compared(records), tmp_path / "report", **ASKED)
    assert "![Accuracy by hidden area](hidden_area.png)" in path.read_text()
    Image.open(tmp_path / "report" / "hidden_area.png").verify()


def test_exploitability_stands_beside_what_is_left_under_attack(folder, tmp_path):
    def attacked(run, gap):
        own = {"attack/gap": gap, "attack/lift_own": 0.1, "attack/lift": 0.1 * gap, "attack/acc1_attack": 40 - gap}
        return replace(run, scores=run.scores | ({} if run.arm == "stock" else own))

    records = [attacked(run, 2.0 + run.seed) for run in read_all(folder) if run.base == "byol"]
    report = write(records, tmp_path)
    rows = table(report, "Exploitability")
    assert rows["byol", "adios"] == ["3.00 ± 1.00", "0.100 ± 0.000", "0.300 ± 0.100", "37.0 ± 1.0"]
    assert ("byol", "stock") not in rows
    assert "Spearman" not in report  # of three arms
    Image.open(tmp_path / "exploitability.png").verify()


def test_learned_masks_are_compared_with_random_ones_of_several_kinds_and_these_with_random_ones(folder):
    named = {"adios": "any", "sequential": "learned"}
    rows = compare([replace(run, arm=named.get(run.arm, run.arm)) for run in read_all(folder)], "linear/acc1")
    against = {row.arm: list(row.differences) for row in rows if row.base == "byol"}
    assert against["stock"] == []
    assert against["random"] == ["stock"]
    assert against["any"] == ["stock", "random"]
    assert against["learned"] == ["stock", "random", "any"]
    said = answer(rows, "linear/acc1")
    assert "**More than random masks of several kinds?** `learned` against `any`: " in said
    assert "`random` against `any`" not in said
