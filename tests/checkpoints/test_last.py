"""A broken checkpoint is passed over, and a good one never taken for broken."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amask_solo.checkpoints.last import find_checkpoint, is_whole, last_whole
from amask_solo.checkpoints.write import WholeCheckpoints, check_space
from amask_solo.errors import UserError
from amask_solo.layout import CHECKPOINTS, LAST, PREVIOUS
from amask_solo.runs.run_folder import tidy

STATE = {"state_dict": {"backbone.weight": torch.arange(3000.0), "steps": torch.tensor(3)}}


@pytest.fixture
def run_folder(tmp_path):
    """A run that has saved twice."""
    io = WholeCheckpoints()
    for step in (1, 2):
        io.save_checkpoint(STATE | {"step": step}, tmp_path / CHECKPOINTS / LAST)
    return tmp_path


def step(path):
    return torch.load(path, weights_only=True)["step"]


def test_the_last_checkpoint_is_taken_and_the_one_before_is_kept(run_folder):
    assert step(find_checkpoint(run_folder)) == 2
    assert step(run_folder / CHECKPOINTS / PREVIOUS) == 1


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_checkpoint_that_is_cut_off_or_changed_anywhere_in_its_numbers_is_not_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / LAST
    torch.save(STATE, path)
    content = path.read_bytes()
    assert is_whole(path)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert not is_whole(path)
    numbers = content.index(torch.arange(3000.0).numpy().tobytes())
    place = data.draw(st.integers(numbers, numbers + 4 * 3000 - 1))
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert not is_whole(path)


def test_a_broken_one_is_named_and_passed_over(run_folder):
    last = run_folder / CHECKPOINTS / LAST
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=f"{LAST} is broken.*{PREVIOUS}"):
        assert step(find_checkpoint(run_folder)) == 1


def test_if_all_are_broken_they_are_named(run_folder):
    for name in (LAST, PREVIOUS):
        (run_folder / CHECKPOINTS / name).write_bytes(b"")
    with pytest.raises(UserError, match=f"{LAST} and .*{PREVIOUS} cannot be read"):
        last_whole(run_folder)


def test_a_broken_one_does_not_push_out_the_good_one_before_it(run_folder):
    last = run_folder / CHECKPOINTS / LAST
    last.write_bytes(b"")
    io = WholeCheckpoints()
    with pytest.warns(UserWarning, match="is broken"):
        tidy(run_folder, last_whole(run_folder))
    assert step(run_folder / CHECKPOINTS / PREVIOUS) == 1
    io.save_checkpoint(STATE | {"step": 2}, last)
    assert (step(last), step(run_folder / CHECKPOINTS / PREVIOUS)) == (2, 1)
    io.save_checkpoint(STATE | {"step": 3}, last)
    assert (step(last), step(run_folder / CHECKPOINTS / PREVIOUS)) == (3, 2)


def test_training_is_refused_where_the_checkpoints_do_not_fit(tmp_path, build, monkeypatch):
    model = build("simclr")
    size = sum(t.nbytes for t in model.state_dict().values())
    usage = shutil.disk_usage(tmp_path)
    for room, fits in ((9 * size, True), (2 * size, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: usage._replace(free=room))
        if fits:
            check_space(tmp_path / CHECKPOINTS, model, copies=4)
        else:
            with pytest.raises(UserError, match="run_folder="):
                check_space(tmp_path / CHECKPOINTS, model, copies=4)
    (tmp_path / CHECKPOINTS).mkdir()
    (tmp_path / CHECKPOINTS / LAST).write_bytes(bytes(7 * size))  # what a resumed run has is replaced
    check_space(tmp_path / CHECKPOINTS, model, copies=4)


def test_the_disk_of_the_checkpoints_is_asked_also_if_they_are_elsewhere(tmp_path, build, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / CHECKPOINTS).symlink_to(tmp_path / "other")
    usage = shutil.disk_usage(tmp_path)
    room = {(tmp_path / "other").resolve(): 10**12}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room.get(path.resolve(), 0)))
    check_space(tmp_path / CHECKPOINTS, build("simclr"), copies=4)
