"""Files and folders that are not what a command expects there."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import torch
from omegaconf import OmegaConf

from tests.data.pictures import labeled_tree, noise, save, truncate


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def write_wrong_files(folder: Path, run: Path) -> None:
    """Fill a folder with what is wrong; ``run`` is a run folder that is right."""
    _checkpoints(folder, run / "checkpoints" / "last.ckpt")
    _images(folder)
    _run_folders(folder, run)
    _choices(folder / "choices")
    (folder / "broken.json").write_text('{"results": [')
    (folder / "list.json").write_text("[1, 2]\n")
    (folder / "results.json").write_text('{"results": 5}\n')
    (folder / "file").write_text("a file\n")


def _checkpoints(folder: Path, good: Path) -> None:
    (folder / "empty.ckpt").touch()
    (folder / "text.ckpt").write_text("no checkpoint\n")
    (folder / "zeros.ckpt").write_bytes(bytes(4096))
    content = good.read_bytes()
    for name, size in (("cut", len(content) // 2), ("cut_early", 100), ("cut_late", len(content) - 10)):
        (folder / f"{name}.ckpt").write_bytes(content[:size])
    (folder / "garbled.ckpt").write_bytes(content[:200] + bytes(1000) + content[1200:])
    state = torch.load(good, weights_only=True)["state_dict"]
    torch.save({"state_dict": {"classifier.weight": torch.zeros(2)}}, folder / "other.ckpt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save(torch.zeros(3), folder / "tensor.ckpt")
    torch.save({"state_dict": {}}, folder / "no_tensors.ckpt")
    torch.save({"state_dict": 5}, folder / "number.ckpt")
    backbone = {key: value for key, value in state.items() if key.split(".")[0] in ("backbone", "encoder")}
    torch.save(dict(list(backbone.items())[:-1]), folder / "part.ckpt")
    torch.save({key: value.reshape(-1) for key, value in backbone.items()}, folder / "shapes.ckpt")
    torch.save({f"{number}.w": torch.zeros(1) for number in range(3)}, folder / "names.ckpt")
    torch.save({1: torch.zeros(1), 2: torch.zeros(1)}, folder / "keys.ckpt")
    (folder / "evil.ckpt").write_bytes(pickle.dumps(Evil(folder / "ran")))
    torch.save({"state_dict": backbone, "more": Evil(folder / "ran")}, folder / "evil_too.ckpt")
    torch.save({"state_dict": Evil(folder / "ran")}, folder / "evil_state.ckpt")
    for name, data in (("cut", b"\x10\0\0\0\0\0\0\0{"), ("text", b"tensors"), ("huge", b"\xff" * 16)):
        (folder / f"{name}.safetensors").write_bytes(data)
    with zipfile.ZipFile(folder / "zip.ckpt", "w") as archive:
        archive.writestr("letter.txt", "dear reader")
    save(noise(), folder / "picture.png")
    shutil.copy(folder / "picture.png", folder / "picture.ckpt")
    (folder / "folder.ckpt").mkdir()
    (folder / "gone.ckpt").symlink_to(folder / "nothing")
    (folder / "loop.ckpt").symlink_to(folder / "loop.ckpt")
    os.mkfifo(folder / "pipe.ckpt")


def _images(folder: Path) -> None:
    (folder / "none").mkdir()
    (folder / "texts" / "a").mkdir(parents=True)
    (folder / "texts" / "a" / "letter.txt").write_text("dear reader\n")
    labeled_tree(folder / "one", classes={"a": 1})
    for name in ("photos", "masks"):
        labeled_tree(folder / name, classes={"a": 10, "b": 10}, size=32)
    labeled_tree(folder / "cut", classes={"a": 10, "b": 10})
    truncate(folder / "cut" / "b" / "005.png")
    labeled_tree(folder / "lies", classes={"a": 10, "b": 10})
    (folder / "lies" / "a" / "003.png").write_text("no picture\n")
    (folder / "lies" / "a" / "004.png").write_bytes(b"")
    labeled_tree(folder / "few_masks", classes={"a": 3})


def _run_folders(folder: Path, run: Path) -> None:
    (folder / "no_run").mkdir()
    texts = {"yaml": "a: [", "list": "- 1\n", "nothing": "", "zeros": "\0", "method": "seed: 0\n"}
    texts["evil"] = f"x: !!python/object/apply:os.system [touch {folder / 'ran'}]\n"
    cfg = OmegaConf.load(run / "config.yaml")
    for name, changes in {
        "target": {"data._target_": "os.system"},
        "data": {"data": 5},
        "image_size": {"data.image_size": -1},
        "masker": {"adversary.masker.num_masks": 17},
    }.items():
        changed = cfg.copy()
        for key, value in changes.items():
            OmegaConf.update(changed, key, value, force_add=True, merge=False)
        texts[name] = OmegaConf.to_yaml(changed)
    for name, text in texts.items():
        place = folder / f"run_{name}"
        (place / "checkpoints").mkdir(parents=True)
        (place / "checkpoints" / "last.ckpt").symlink_to(run / "checkpoints" / "last.ckpt")
        (place / "config.yaml").write_text(text)
    for name, text in {"broken": "{", "list": "[1]", "number": "5"}.items():
        place = folder / f"compared_{name}" / "runs" / "byol_stock_seed0"
        place.mkdir(parents=True)
        (place / "summary.json").write_text(text)


def _choices(folder: Path) -> None:
    texts = {
        "method/yaml": "a: [1\nb: 2\n",
        "method/tab": "a:\n\t- 1\n",
        "method/list": "- 1\n- 2\n",
        "method/text": "hello\n",
        "method/zeros": "\0\0\n",
        "method/missing": "defaults: [nowhere]\n",
        "method/circle": "defaults: [circle]\n",
        "data/target": "_target_: nowhere.load\nimage_size: 32\n",
        "data/no_target": "image_size: 32\n",
        "data/number": "_target_: 5\nimage_size: 32\n",
        "data/no_data": "_target_: builtins.dict\nimage_size: 32\n",
        "protocol/target": "# @package protocol.target\n_target_: nowhere.Protocol\n",
        "protocol/no_protocol": "# @package protocol.no_protocol\n_target_: pathlib.Path\n",
        "protocol/no_target": "# @package protocol.no_target\nk: 5\n",
    }
    for name, text in texts.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
