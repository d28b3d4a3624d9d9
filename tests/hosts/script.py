"""The host's own scripts, as its users call them: with this plugin installed beside them.

Set SOLO_LEARN_ROOT to a checkout of solo-learn's GitHub main.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOST = os.environ.get("SOLO_LEARN_ROOT") and str(Path(os.environ["SOLO_LEARN_ROOT"]).resolve())


def run(script: str, *arguments: str, folder: Path) -> str:
    """Call a script of the host from a folder and return what it says."""
    paths = [HOST, str(ROOT), str(ROOT / "amask_solo" / "_hydra")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(HOST) / script), *arguments, "auto_resume.enabled=False"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def one_epoch(pictures: Path, *, batch_size: int) -> list[str]:
    """Return the settings of an epoch on a folder of pictures, on a CPU."""
    return [
        "data.dataset=custom",
        f"data.train_path={pictures}",
        f"data.val_path={pictures}",
        "data.format=image_folder",
        "++data.num_workers=0",
        "wandb.enabled=False",
        "accelerator=cpu",
        "strategy=auto",
        "precision=32",
        'devices="1"',
        "max_epochs=1",
        f"optimizer.batch_size={batch_size}",
    ]
