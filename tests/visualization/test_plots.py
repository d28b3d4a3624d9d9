from io import BytesIO

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from amask_solo.visualization.panels import save_panel
from amask_solo.visualization.plots import accuracy_against_time, arm_curves, embedding_map

POINTS = {
    "byol": {"stock": [(60.0, 61.0), (66.0, 62.0)], "random": [(90.0, 63.0)]},
    "simclr": {"stock": [(30.0, 71.0)], "random": []},
}
ARMS = ("stock", "random")
CURVES = {"byol": {"stock": [[(1, 10.0), (2, 20.0)], [(1, 12.0), (2, 26.0)]], "random": [[(1, 15.0), (2, 18.0)]]}}


def series(axis):
    lines = (line for line in axis.lines if not line.get_label().startswith("_"))
    return {line.get_label(): [tuple(map(float, xy)) for xy in line.get_xydata()] for line in lines}


def test_each_base_has_a_panel_and_each_run_a_point():
    byol, simclr = accuracy_against_time(POINTS, arms=ARMS, label="linear accuracy").axes
    assert (byol.get_title(), simclr.get_title()) == ("byol", "simclr")
    assert series(byol) == {"stock": [(60.0, 61.0), (66.0, 62.0)], "random": [(90.0, 63.0)]}
    assert series(simclr) == {"stock": [(30.0, 71.0)]}
    assert byol.get_ylabel() == "linear accuracy"


def test_the_mean_of_several_runs_has_error_bars_of_their_standard_deviation():
    byol, simclr = accuracy_against_time(POINTS, arms=ARMS, label="linear accuracy").axes
    (bars,) = byol.containers
    across, up = (lines.get_segments()[0].tolist() for lines in bars.lines[2])
    assert up == [[63.0, pytest.approx(61.5 - 0.5**0.5)], [63.0, pytest.approx(61.5 + 0.5**0.5)]]
    assert across == [[pytest.approx(63.0 - 18**0.5), 61.5], [pytest.approx(63.0 + 18**0.5), 61.5]]
    assert not simclr.containers


@pytest.mark.parametrize(
    ("longest", "unit", "shown"), [(100.0, "seconds", 100), (600.0, "minutes", 10), (36e3, "hours", 10)]
)
def test_long_times_are_shown_in_larger_units(longest, unit, shown):
    axis = accuracy_against_time({"byol": {"stock": [(longest, 50.0)]}}, arms=ARMS, label="x").axes[0]
    assert axis.get_xlabel() == f"training time ({unit})"
    assert series(axis)["stock"] == [(shown, 50.0)]


def test_a_curve_is_the_mean_of_the_runs_in_the_band_of_their_range():
    axis = arm_curves(CURVES, arms=ARMS, label="kNN").axes[0]
    assert series(axis)["stock"] == [(1.0, 11.0), (2.0, 23.0)]
    band = axis.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band.tolist()} >= {(1.0, 10.0), (1.0, 12.0), (2.0, 20.0), (2.0, 26.0)}


def test_epochs_that_a_run_lacks_are_left_out():
    curves = {"byol": {"stock": [[(1, 10.0), (2, 20.0), (3, 30.0)], [(2, 22.0), (3, 32.0)]]}}
    assert series(arm_curves(curves, arms=ARMS, label="kNN").axes[0])["stock"] == [(2.0, 21.0), (3.0, 31.0)]


def test_an_arm_looks_the_same_in_both_plots_and_all_panels():
    axes = accuracy_against_time(POINTS, arms=ARMS, label="x").axes + arm_curves(CURVES, arms=ARMS, label="x").axes
    for arm in ("stock", "random"):
        assert len({to_rgb(line.get_color()) for axis in axes for line in axis.lines if line.get_label() == arm}) == 1


def test_an_arm_keeps_its_color_in_a_picture_that_lacks_others_and_these_are_not_in_its_legend():
    both = arm_curves(CURVES, arms=ARMS, label="x")
    alone = arm_curves({"byol": {"random": CURVES["byol"]["random"]}}, arms=ARMS, label="x")
    assert both.axes[0].lines[1].get_color() == alone.axes[0].lines[0].get_color() != both.axes[0].lines[0].get_color()
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["random"]


def test_the_legend_has_what_any_panel_has():
    figure = arm_curves({"byol": {"random": CURVES["byol"]["random"]}, "simclr": CURVES["byol"]}, arms=ARMS, label="x")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stock", "random"]


def test_names_of_classes_are_no_markup():
    names = ["_hidden", "a$\\x$"]
    figure = embedding_map(np.zeros((2, 2)), np.arange(2), names, title="$\\y$")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    figure.savefig(BytesIO())


def test_points_are_marked_where_they_were_measured_unless_they_are_many():
    for count, marked in ((3, True), (100, False)):
        run = [(epoch, 10.0) for epoch in range(count)]
        line = arm_curves({"byol": {"stock": [run]}}, arms=ARMS, label="x").axes[0].lines[0]
        assert (line.get_marker() not in ("None", None, "")) == marked


def test_arms_differ_in_color_marker_and_line():
    arms = {f"arm{n}": [(1.0, float(n))] for n in range(7)}
    lines = accuracy_against_time({"byol": arms}, arms=list(arms), label="x").axes[0].lines
    assert len({to_rgb(line.get_color()) for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 7])
def test_any_number_of_bases_has_a_panel_each_and_one_legend(panels):
    figure = accuracy_against_time({f"base{n}": POINTS["byol"] for n in range(panels)}, arms=ARMS, label="x")
    assert len(figure.axes) == panels
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stock", "random"]


def test_the_figures_can_be_written_and_leave_nothing_open(tmp_path):
    before = plt.get_fignums()
    for n, figure in enumerate(
        (accuracy_against_time(POINTS, arms=ARMS, label="x"), arm_curves(CURVES, arms=ARMS, label="x"))
    ):
        save_panel(figure, tmp_path / f"{n}.png")
        with Image.open(tmp_path / f"{n}.png") as picture:
            assert 800 <= picture.width <= 2000
    assert plt.get_fignums() == before


def test_a_single_epoch_is_visible():
    line = arm_curves({"byol": {"stock": [[(1, 10.0)]]}}, arms=ARMS, label="x").axes[0].lines[0]
    assert line.get_marker() not in ("None", None, "")
