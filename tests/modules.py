"""Modules of a user, written while a test runs."""

import importlib
from pathlib import Path

PAYLOAD = """
from pathlib import Path

Path(__file__).with_name("imported").touch()


def run(*args, **kwargs):
    Path(__file__).with_name("ran").touch()
"""


def write(file: Path, text: str = PAYLOAD) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    importlib.invalidate_caches()
