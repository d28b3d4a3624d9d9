"""The host's own scripts, unmodified, train and evaluate masked methods."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.hosts.script import HOST, one_epoch, run

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
        *one_epoch(pictures, batch_size=5),
        "sync_batchnorm=False",
        "method_kwargs.proj_hidden_dim=16",
        "method_kwargs.pred_hidden_dim=16",
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
        *one_epoch(pictures, batch_size=5),
        f"pretrained_feature_extractor='{checkpoint}'",
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
            *one_epoch(pictures, batch_size=5),
            folder=tmp_path,
        )
