"""The host's own scripts, unmodified, with this plugin installed beside them.

Set SOLO_LEARN_ROOT to a checkout of solo-learn's GitHub main.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
HOST = os.environ.get("SOLO_LEARN_ROOT")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HOST, reason="SOLO_LEARN_ROOT does not name a checkout of solo-learn"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for label, color in enumerate(("red", "green", "blue", "white", "gray")):
        (folder / f"class_{label}").mkdir()
        for number in range(4):
            Image.new("RGB", (40, 40), color).save(folder / f"class_{label}" / f"{number}.png")
    return folder


def run(script: str, *arguments: str, folder: Path) -> str:
    paths = [HOST, str(ROOT), str(ROOT / "amask_solo" / "_hydra")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(HOST) / script), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def data(pictures: Path) -> list[str]:
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
        "optimizer.batch_size=5",
    ]


@pytest.mark.parametrize(
    ("method", "adversary"),
    [
        ("amask_byol", []),
        ("amask_byol", ["++adversary.masker=simultaneous", "++adversary.update=alternating", "++adversary.draw=all"]),
    ],
)
def test_main_pretrain_trains_a_masked_method_and_main_linear_loads_every_tensor(method, adversary, pictures, tmp_path):
    run(
        "main_pretrain.py",
        "--config-path",
        f"{HOST}/scripts/pretrain/custom",
        "--config-name",
        "byol.yaml",
        f"method={method}",
        *data(pictures),
        "sync_batchnorm=False",
        "method_kwargs.proj_hidden_dim=16",
        "method_kwargs.pred_hidden_dim=16",
        "auto_resume.enabled=False",
        "checkpoint.frequency=1",
        *adversary,
        folder=tmp_path,
    )
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    backbone = [key for key in state if key.startswith("backbone.")]
    assert len(backbone) == 120
    assert any(key.startswith("adversary.") for key in state)

    linear = tmp_path / "linear"
    linear.mkdir()
    run(
        "main_linear.py",
        "--config-path",
        f"{HOST}/scripts/linear/imagenet-100",
        "--config-name",
        "byol.yaml",
        *data(pictures),
        f"pretrained_feature_extractor='{checkpoint}'",
        "auto_resume.enabled=False",
        folder=linear,
    )
    (checkpoint,) = linear.rglob("*.ckpt")
    evaluated = torch.load(checkpoint, weights_only=True)["state_dict"]
    # The frozen backbone that the host evaluated is the pretrained one, tensor by tensor.
    for key in backbone:
        torch.testing.assert_close(evaluated[key], state[key])


def test_without_the_plugin_the_method_is_unknown_to_the_script(pictures, tmp_path):
    with pytest.raises(AssertionError, match="Choose from"):
        run(
            "main_pretrain.py",
            "--config-path",
            f"{HOST}/scripts/pretrain/custom",
            "--config-name",
            "byol.yaml",
            "method=masked_byol",
            *data(pictures),
            folder=tmp_path,
        )
