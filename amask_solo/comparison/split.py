"""On which images a comparison scores: some of the training images to choose settings, others to confirm them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amask_solo.errors import UserError
from amask_solo.files import write_whole
from amask_solo.signatures import read_declared

TUNE, CONFIRM = "tune", "confirm"

FRACTION = "data.tune_fraction"
"""The setting of a run that decides. It belongs to the data, so that training and evaluation see the same parts."""

SETTINGS = {TUNE: [f"++{FRACTION}=0.2"], CONFIRM: []}
"""What a split adds to all runs, before their own settings."""

FILE = "split.txt"

TITLES = {TUNE: "Choosing settings, not a result", CONFIRM: "Stock against masked"}
MEANING = {
    TUNE: "All runs were scored on {val} images that were held out of the "
    "training images, and trained on the other {train}; none has seen the validation or test images. What is chosen "
    "here has yet to be confirmed, by `split=confirm` and other seeds.",
    CONFIRM: "All runs trained on all {train} training images, and were scored on the {val} {kind} images "
    "(`split=confirm`).",
}
"""What the report is called, and what it says of its scores; ``train`` and ``val`` are numbers of images."""


def scored_kind(images: Mapping[str, Any]) -> str:
    """Return what the images that runs are scored on are called: ``validation`` or ``test``.

    A data set of this package says it itself; otherwise they are what the name of their folder or split says.

    Example:
        >>> scored_kind({"_target_": "amask_solo.data.load_image_folder", "val_path": "birds/test"})
        'test'
    """
    declared = read_declared(images["_target_"], "SCORED_ON") if "_target_" in images else None
    named = str(images.get("val") or Path(images.get("val_path") or "").name)
    return declared or ("test" if "test" in named.lower() else "validation")


def check_split(split: str, fraction: float, protocols: Mapping[str, Any]) -> None:
    """Compare a split with the share of the training images that a run is scored on, its :data:`FRACTION`.

    Raises:
        UserError: If runs would be scored on other images than the split says.
    """
    if split == CONFIRM and fraction:
        raise UserError(f"{FRACTION}={fraction} is for choosing settings; give split=tune, or leave it out.")
    if split == TUNE and not fraction:
        raise UserError(f"split=tune scores on some of the training images, so {FRACTION} must be above 0.")
    others = [name for name, node in protocols.items() if read_declared(node["_target_"], "own_images")]
    if split == TUNE and others:
        raise UserError(f"protocol={others[0]} scores on images of its own, which are for split=confirm alone.")


def check_folder(folder: Path, split: str) -> None:
    """Refuse a folder with runs of the other split.

    Raises:
        UserError: If there are any.
    """
    file = folder / FILE
    # A folder without a note is older than tuning, or new.
    default = CONFIRM if (folder / "runs").is_dir() else split
    before = file.read_text(errors="replace").strip() if file.is_file() else default
    if before != split:
        raise UserError(
            f"{folder} holds a comparison with split={before}; runs that choose and runs that confirm never mix. "
            "Give another folder=..."
        )


def note_split(folder: Path, split: str) -> None:
    """Write down in the folder of a comparison what its runs are scored on."""
    write_whole(folder / FILE, f"{split}\n")
