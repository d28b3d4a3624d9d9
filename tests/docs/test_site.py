"""The documentation is built without a network, and its pages ask nobody for anything."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

mkdocs = pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    # Not --quiet, with which warnings would not count.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//", text)
        assert not loaded + re.findall(r"<link[^>]+href=\"(?:https?:)?//", text), page


def test_the_front_page_is_the_readme_with_its_formula(site):
    text = (site / "index.html").read_text()
    assert "<munder><mo>max</mo>" in text
    assert "Two commands, in a clone" in text
    assert "README:" not in text


def test_docstrings_are_on_the_pages_with_formulas_and_without_leftovers(site):
    pages = [page.read_text() for page in (site / "api").glob("*.html")]
    assert any("SequentialMasker" in page and "<math" in page for page in pages)
    assert not any(re.search(r":(class|func|math|meth|mod):`|\.\. math::", page) for page in pages)


def test_reports_and_pictures_beside_the_pages_are_on_the_site(site):
    assert (site / "results" / "plan.html").is_file()
    assert (site / "results" / "quickstart" / "masks.png").is_file()
