import subprocess
import sys

import pytest

from amask_solo.versions import commit, host_version, versions

pytest.importorskip("solo")


def test_a_checkout_that_hides_the_release_is_named_by_its_commit(tmp_path, monkeypatch):
    before = host_version()
    (tmp_path / "solo").mkdir()
    (tmp_path / "solo" / "__init__.py").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "host"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "solo", raising=False)
    assert host_version() == f"checkout, commit {commit(tmp_path)}" != before
    assert versions()["solo-learn"] == host_version()


def test_a_folder_that_is_in_no_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) is None
