"""Maskers in the layout that the authors of ADIOS publish."""

import json

import pytest
import torch
import torch.nn.functional as F

from amask_solo.checkpoints.adios import load_adios_masker
from amask_solo.errors import UserError

WIDTH, SIDE = 8, 2


def published(depth=4, *, masks=3, norm="gn", side=SIDE, seed=0):
    """Return a state dict with their names and shapes, as their network has them for images of 8 x ``side`` px."""
    draw = torch.Generator().manual_seed(seed)
    c = WIDTH
    below = {4: [c, 2 * c, 2 * c, 2 * c], 5: [c, c, 2 * c, 2 * c, 2 * c]}[depth]
    outs = {4: [2 * c, 2 * c, c, c], 5: [2 * c, 2 * c, c, c, c]}[depth]
    ins = {4: [4 * c, 4 * c, 4 * c, 2 * c], 5: [4 * c, 4 * c, 4 * c, 2 * c, 2 * c]}[depth]
    shapes = {"mask_head.0.weight": (masks, c, 1, 1), "mask_head.0.bias": (masks,)}
    for half, pairs in (("down", zip([3, *below], below, strict=False)), ("up", zip(ins, outs, strict=True))):
        for level, (given, out) in enumerate(pairs):
            name = f"mask_encoder.{half}.{level}"
            shapes[f"{name}.0.weight"] = (out, given, 3, 3)
            scaled = ["0.bias"] if norm == "no" else ["1.weight", "1.bias"]
            shapes |= {f"{name}.{end}": (out,) for end in scaled}
    flat = 2 * c * side**2
    for place, size in zip((1, 3, 5), [(128, flat), (128, 128), (flat, 128)], strict=True):
        shapes |= {f"mask_encoder.mlp.{place}.weight": size, f"mask_encoder.mlp.{place}.bias": size[:1]}
    return {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def their_masks(state, images, depth=4, norm="gn"):
    """Compute the masks step by step from the tensors alone."""
    get = lambda name: state[f"mask_encoder.{name}"]  # noqa: E731

    def level(x, name):
        x = F.conv2d(x, get(f"{name}.0.weight"), state.get(f"mask_encoder.{name}.0.bias"), padding=1)
        if norm != "no":
            x = F.group_norm(x, 8 if norm == "gn" else x.shape[1], *(get(f"{name}.1.{k}") for k in ("weight", "bias")))
        return x.relu()

    x, kept = images, []
    for number in range(depth):
        x = level(x, f"down.{number}")
        kept.append(x)
        if number < depth - 1:
            x = F.interpolate(x, scale_factor=0.5, mode="nearest")
    shape, x = x.shape, x.flatten(1)
    for place in (1, 3, 5):
        x = F.linear(x, get(f"mlp.{place}.weight"), get(f"mlp.{place}.bias")).relu()
    x = x.view(shape)
    for number in range(depth):
        x = level(torch.cat([x, kept[-1 - number]], dim=1), f"up.{number}")
        if number < depth - 1:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.conv2d(x, state["mask_head.0.weight"], state["mask_head.0.bias"]).softmax(dim=1)


@pytest.mark.parametrize(("depth", "norm"), [(4, "gn"), (5, "in"), (4, "no")])
def test_the_masks_are_those_of_the_published_tensors(depth, norm, tmp_path):
    state = published(depth, norm=norm)
    (tmp_path / "args.json").write_text(json.dumps({"unet_norm": norm}))
    others = {"encoder.conv1.weight": torch.zeros(1)}
    masker = load_adios_masker({"state_dict": state | others}, tmp_path / "simclr-ep=1.ckpt")
    images = torch.randn(2, 3, SIDE * 2 ** (depth - 1), SIDE * 2 ** (depth - 1))
    with torch.no_grad():
        torch.testing.assert_close(masker(images), their_masks(state, images, depth, norm))
        assert masker(F.interpolate(images, scale_factor=2)).shape == (2, 3, 2 * images.shape[2], 2 * images.shape[3])
    assert not masker.training


def test_without_its_settings_group_normalization_is_assumed_aloud(tmp_path):
    with pytest.warns(UserWarning, match=r"args\.json.*group is assumed"):
        assert load_adios_masker({"state_dict": published()}, tmp_path / "x.ckpt") is not None


def test_other_checkpoints_have_no_such_masker(tmp_path):
    assert load_adios_masker({"state_dict": {"encoder.conv1.weight": torch.zeros(1)}}, tmp_path / "x.ckpt") is None


def test_another_network_under_the_same_names_is_refused(tmp_path):
    (tmp_path / "args.json").write_text('{"unet_norm": "gn"}')
    state = published()
    state["mask_encoder.up.0.0.weight"] = torch.zeros(16, 8, 3, 3)
    with pytest.raises(UserError, match=r"not the published network of ADIOS.*up\.0\.0"):
        load_adios_masker({"state_dict": state}, tmp_path / "x.ckpt")
