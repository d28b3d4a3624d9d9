"""The files of the tutorials, importable."""

import sys

import pytest

from tests.docs.pages import TUTORIALS, write_files

MODULES = ("alignment", "centered", "simclr", "spotlight")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all files of the tutorials, in which the commands are called."""
    for page in TUTORIALS:
        write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)
    if "solo.methods" in sys.modules:
        for name in ("alignment", "amask_alignment"):
            sys.modules["solo.methods"].METHODS.pop(name, None)
