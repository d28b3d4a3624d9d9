"""What stands in the README and in the pages of docs/."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if it says so at its top."""
        match = re.match(r"(?:# @package .+\n)?# ([\w/]+\.(?:py|yaml))\n", self.text)
        return match[1] if match else None

    @property
    def commands(self) -> list[list[str]]:
        """The words of each line of a shell block."""
        lines = (shlex.split(line, comments=True) for line in self.text.replace("\\\n", " ").splitlines())
        return [line for line in lines if line] if self.language == "bash" else []


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)]


def helped(program: str) -> list[list[str]]:
    """Return the words of each example that a program's ``--help`` has."""
    file = ROOT / "configs" / f"{program.removeprefix('amask-')}.yaml"
    return [shlex.split(line) for line in file.read_text().partition("Examples\n")[2].partition("\n\n")[0].splitlines()]


def commands(program: str) -> list[list[str]]:
    """Return the arguments of each call of a program, on any page and in its ``--help``."""
    lines = [line for page in PAGES for block in blocks(page) for line in block.commands]
    return [line[1:] for line in [*lines, *helped(program)] if line[0] == program]


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that are files."""
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
