"""Files are whole, or what they were before."""

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest

from amask_solo.errors import UserError
from amask_solo.files import expanded, write_whole

LIMIT = 4096


def _write_too_much(path: Path) -> None:
    # The system refuses larger files, as it does all files when the disk is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    try:
        write_whole(path, b"x" * (LIMIT + 1))
    except UserError as error:
        path.with_name("error").write_text(str(error))


def _write_for_ever(path: Path) -> None:
    while True:
        for letter in "ab":
            write_whole(path, letter * 100_000, keep=path.with_name("before"))


def run(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def test_a_file_that_does_not_fit_leaves_the_one_before_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "before")
    run(_write_too_much, path).join()
    assert path.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["error", "file"]
    assert str(path) in (tmp_path / "error").read_text()


def test_whoever_is_killed_while_writing_leaves_whole_files(tmp_path):
    path = tmp_path / "file"
    for _ in range(5):
        process = run(_write_for_ever, path)
        while not path.exists() or not path.with_name("before").exists():
            assert process.is_alive()
        process.join(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for file in (path, path.with_name("before")):
            # Between two names there may be no file that is kept, but never half of one.
            assert not file.exists() or file.read_text() in ("a" * 100_000, "b" * 100_000)
        assert path.exists()


def test_what_is_kept_is_what_was_there(tmp_path):
    path, kept = tmp_path / "folder" / "file", tmp_path / "folder" / "kept"
    write_whole(path, "one", keep=kept)
    assert not kept.exists()
    write_whole(path, "two", keep=kept)
    write_whole(path, "three", keep=kept)
    assert (path.read_text(), kept.read_text()) == ("three", "two")


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write .*/file/inside"):
        write_whole(tmp_path / "file" / "inside", "")


def test_a_name_that_is_nobodys_home_stays_as_it_is():
    assert expanded("~nobody-of-this-name/photos") == Path("~nobody-of-this-name/photos")
    assert expanded("~/photos") == Path.home() / "photos"
