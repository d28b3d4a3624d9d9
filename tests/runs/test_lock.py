"""One process trains in a run folder; tried with real processes."""

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from amask_solo.errors import UserError
from amask_solo.runs.lock import LOCK, check_free, hold


def _hold(folder: Path, ready: Connection) -> None:
    with hold(folder):
        if os.fork() == 0:
            time.sleep(60)  # as a worker of a data loader, which outlives its owner for a while
            os._exit(0)
        ready.send(None)
        ready.recv()


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, there))
    process.start()
    here.recv()
    yield process, here
    process.kill()


@pytest.mark.parametrize("ask", [check_free, lambda folder: hold(folder).__enter__()])
def test_a_folder_in_which_another_process_trains_is_refused_and_its_owner_named(tmp_path, other, ask):
    with pytest.raises(UserError, match=f"process {other[0].pid} on "):
        ask(tmp_path)
    assert (tmp_path / LOCK).exists()


def test_a_killed_process_leaves_no_lock_even_if_its_workers_live_on(tmp_path, other):
    os.kill(other[0].pid, signal.SIGKILL)
    other[0].join()
    assert (tmp_path / LOCK).exists()
    check_free(tmp_path)
    with hold(tmp_path):
        pass


def test_the_lock_and_an_empty_folder_are_gone_when_the_run_ends(tmp_path, other):
    process, pipe = other
    pipe.send(None)
    process.join()
    assert not tmp_path.exists()
    check_free(tmp_path)
    with hold(tmp_path), pytest.raises(ZeroDivisionError), hold(tmp_path / "next"):
        raise ZeroDivisionError
    assert not tmp_path.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write .*/file/run"), hold(tmp_path / "file" / "run"):
        pass


def test_a_file_system_without_locks_is_trained_on_all_the_same(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with hold(tmp_path / "run"):
        check_free(tmp_path / "run")
    assert not (tmp_path / "run").exists()
