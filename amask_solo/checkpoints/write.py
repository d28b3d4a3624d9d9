"""Write checkpoints whole, and keep the previous one until the new one is safe."""

import io
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from amask_solo.errors import UserError
from amask_solo.files import write_whole
from amask_solo.layout import LAST, PREVIOUS


class WholeCheckpoints(TorchCheckpointIO):
    """Replace each checkpoint in one step, and keep the old ``last.ckpt`` as ``previous.ckpt``.

    Lightning's own writing is not safe. It moves the file from the system's temporary folder; between two disks, this
    is a copy that can be cut off. Nor does it wait until the file has reached the disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint, or raise a ``WriteError``; ``storage_options``, for remote file systems, is not used."""
        del storage_options
        path = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        keep = path.with_name(PREVIOUS) if path.name == LAST else None
        write_whole(path, content.getbuffer(), keep=keep)


@rank_zero_only
def check_space(folder: Path, model: LightningModule, *, copies: int) -> None:
    """Raise a ``UserError`` if the disk has no space for the checkpoints of a training.

    The present ones count as space, as they are replaced. Optimizers are estimated as one number for each parameter, as
    with SGD's momentum; some need more.
    """
    state = model.state_dict().values()
    size = sum(t.nbytes for t in state) + sum(p.nbytes for p in model.parameters() if p.requires_grad)
    there = sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
    # The folder may be a link to another disk.
    free = shutil.disk_usage(folder if folder.is_dir() else folder.parent).free + there
    if free < copies * size:
        room, each, needed = (f"{number / 1e6:.3g}" for number in (free, size, copies * size))
        raise UserError(
            f"{folder} has room for {room} MB, but its {copies} checkpoints of {each} MB each need {needed} MB (best, "
            "last, the one before, and the one being written). Make room, or put the run elsewhere by run_folder=..."
        )
