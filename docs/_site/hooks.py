"""Pages may take sections of the README; reports and figures that lie beside docs/ become part of the site."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

BESIDE = ("results/**/*.md", "results/**/*.png", "results/**/*.csv", "results/**/*.yaml")
BESIDE += ("results/loop/*.json", "benchmarks/*.json")
PAGES = {
    "install": "index.md#install",
    "use": "use.md",
    "design": "design.md",
    "does-it-help": "help.md",
    "what-it-costs": "costs.md",
    "limits": "limits.md",
}
"""Anchor of a section of the README -> the page that has it."""

SENTENCE = 40
"""The characters of a cell from which a table holds sentences, not numbers."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages and the reports link to."""
    root = Path(config.config_file_path).parent
    for pattern in BESIDE:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    """Fill in sections of the README, ``<!-- README: HEADING -->``, and lead links from the repository to the site."""
    readme = (Path(config.config_file_path).parent / "README.md").read_text()
    filled = re.sub(r"<!-- README: (.+) -->", lambda found: section(readme, found[1]), markdown)
    if re.match(r"# .+\n\n<!-- README: (?!top)", markdown):  # a page of its own: its headings are one level higher
        filled = re.sub(r"^##(#+ )", r"#\1", filled, flags=re.MULTILINE)
    filled = re.sub(r"(\d\]) (\[-?\d)", r"\1 \\\2", filled)  # two intervals are no link
    # Folders have no page here: their name takes the place of the link.
    filled = re.sub(r"\[([^]]+)\]\((?:\.\./)*(results/[\w/]+)\)", _folder, filled)
    return re.sub(r"\]\(\.\./((?:\.\./)*(?:results|benchmarks)/)", r"](\1", filled)


def on_page_content(html: str, **_: object) -> str:
    """Give each cell of a table of sentences the name of its column: on a narrow screen its rows become paragraphs."""
    return re.sub(r"<table>.*?</table>", lambda found: _labeled(found[0]), html, flags=re.DOTALL)


def _labeled(table: str) -> str:
    names = [_plain(name) for name in re.findall(r"<th\b[^>]*>(.*?)</th>", table, re.DOTALL)]
    rows = [re.findall(r"<td\b[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr")]
    if not any(len(_plain(cell)) >= SENTENCE for row in rows for cell in row[1:]):
        return table
    number = iter(range(table.count("<td")))
    named = re.sub(r"<td\b", lambda _: f'<td data-column="{names[next(number) % len(names)]}"', table)
    return f'<div class="sentences">{named}</div>'


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).replace('"', "").split())


def _folder(link: re.Match[str]) -> str:
    return f"`{link[2]}`" if link[1] == link[2] else f"{link[1]} (`{link[2]}`)"


def section(readme: str, heading: str) -> str:
    """Return what stands under a heading, or before the first one for ``top``, with links as a page of docs/ has them.

    Raises:
        ValueError: If there is no such heading.
    """
    start = "# amask-solo" if heading == "top" else f"## {heading}"
    found = re.search(rf"^{re.escape(start)}\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"The README has no heading '{heading}'.")
    text = found[1].partition("**Contents**")[0]  # the site has its own
    for anchor, page in PAGES.items():
        text = text.replace(f"](#{anchor})", f"]({page})")
    return text.replace("](docs/", "](").strip()
