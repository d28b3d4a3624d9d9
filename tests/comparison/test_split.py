import pytest

from amask_solo.comparison.split import CONFIRM, SETTINGS, TUNE, check_folder, check_split, note_split
from amask_solo.errors import UserError


def test_tuning_holds_out_training_images_before_the_settings_of_the_runs():
    assert SETTINGS[CONFIRM] == []
    assert SETTINGS[TUNE] == ["++data.tune_fraction=0.2"]


@pytest.mark.parametrize(
    ("split", "fraction", "protocol", "said"),
    [
        (CONFIRM, 0.2, "KNN", "give split=tune"),
        (TUNE, 0.0, "KNN", "must be above 0"),
        (TUNE, 0.2, "Transfer", "protocol=transfer.*split=confirm alone"),
    ],
)
def test_scores_on_other_images_than_the_split_says_are_refused(split, fraction, protocol, said):
    with pytest.raises(UserError, match=said):
        check_split(split, fraction, {protocol.lower(): {"_target_": f"amask_solo.evaluation.{protocol}"}})


def test_tuning_and_confirming_runs_never_lie_in_one_folder(tmp_path):
    check_folder(tmp_path, TUNE)
    note_split(tmp_path, TUNE)
    check_folder(tmp_path, TUNE)
    with pytest.raises(UserError, match="never mix"):
        check_folder(tmp_path, CONFIRM)


def test_runs_without_a_note_are_confirming_ones(tmp_path):
    (tmp_path / "runs").mkdir()
    check_folder(tmp_path, CONFIRM)
    with pytest.raises(UserError, match="split=confirm"):
        check_folder(tmp_path, TUNE)
