"""Which code made a result."""

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

from amask_solo import __version__

PACKAGES = ("torch", "torchvision", "lightning", "kornia", "timm")


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that results depend on; ``None`` if one is not installed."""
    # `__version__` is that of the running code; the installed package may be another checkout.
    known: dict[str, str | None] = {"python": platform.python_version(), "amask-solo": __version__}
    known |= dict.fromkeys(PACKAGES)
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return known | {"solo-learn": host_version()}


def host_version() -> str | None:
    """Return the version of the solo-learn that is imported: of a checkout, which may hide a release, its commit."""
    spec = find_spec("solo")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    with suppress(PackageNotFoundError):
        installed = distribution("solo-learn")
        if Path(str(installed.locate_file("solo"))).resolve() == folder.resolve():
            return installed.version
    return f"checkout, commit {commit(folder) or 'not known'}"


def commit(folder: Path) -> str | None:
    """Return the commit of a checkout that a folder is in; none if it is in none."""
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
