"""The documentation is built without a network, and its pages ask nobody for anything."""

import os
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT

mkdocs = pytest.importorskip("mkdocs")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
    assert 'id="install"' in text
    assert 'id="where-to-go-on"' in text
    assert "README:" not in text


@pytest.mark.parametrize(
    ("page", "part"), [("use", "compare"), ("help", "trained attacker"), ("limits", "drop_tokens")]
)
def test_sections_of_the_readme_are_pages(site, page, part):
    text = (site / f"{page}.html").read_text()
    assert part in text
    assert "README:" not in text


def test_every_link_leads_to_a_file_and_a_heading(site):
    texts = {page: page.read_text() for page in site.rglob("*.html") if page.name != "404.html"}
    anchors = {page: set(re.findall(r' (?:id|name)="([^"]+)"', text)) for page, text in texts.items()}
    for page, text in texts.items():
        for link in set(re.findall(r'<a [^>]*href="([^":]+)"', text)):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), (page.name, link)
            assert not anchor or unquote(anchor) in anchors[target], (page.name, link)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_a_search_finds_something_on_a_page_that_is_opened_as_a_file(site, tmp_path):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    address = f"{(site / 'index.html').as_uri()}?q=drop_tokens"
    said = subprocess.run(
        [*command, "--virtual-time-budget=5000", address], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r'class="md-search-result__link"[^>]*>', said.stdout)
    assert "configuration/adversary.html" in said.stdout.partition('class="md-search-result__list"')[2]


def test_docstrings_are_on_the_pages_with_formulas_and_without_leftovers(site):
    pages = [page.read_text() for page in (site / "api").glob("*.html")]
    assert any("SequentialMasker" in page and "<math" in page for page in pages)
    assert not any(re.search(r":(class|func|math|meth|mod):`|\.\. math::", page) for page in pages)


def test_reports_and_pictures_beside_the_pages_are_on_the_site(site):
    assert (site / "results" / "plan.html").is_file()
    assert (site / "results" / "quickstart" / "masks.png").is_file()
