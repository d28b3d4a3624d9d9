import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets

from amask_solo.data import load_cifar10, load_cifar100, load_stl10
from amask_solo.errors import UserError


def write_cifar(folder, kind, batches, *, key, classes, count):
    """Write files in the format of the real ones."""
    folder.mkdir(parents=True)
    for number, name in enumerate(batches):
        pixels = np.random.default_rng(number).integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [item % classes for item in range(count)]
        (folder / name).write_bytes(pickle.dumps({"data": pixels, key: labels}))
    names = [f"class {number}" for number in range(classes)]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: names}))


@pytest.fixture
def without_checksums(monkeypatch):
    """Let torchvision read our small files: the checksums are those of the real sets."""
    for kind in (datasets.CIFAR10, datasets.CIFAR100, datasets.STL10):
        for key in ("train_list", "test_list"):
            monkeypatch.setattr(kind, key, [[name, None] for name, _ in getattr(kind, key)])
    for kind in (datasets.CIFAR10, datasets.CIFAR100):
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": None})


@pytest.mark.parametrize(
    ("load", "kind", "key", "classes", "files"),
    [(load_cifar10, datasets.CIFAR10, "labels", 10, 5),
     (load_cifar100, datasets.CIFAR100, "fine_labels", 100, 1)],
)  # fmt: skip
def test_cifar_is_read_as_torchvision_reads_it(tmp_path, without_checksums, load, kind, key, classes, files):
    batches = [name for name, _ in kind.train_list + kind.test_list]
    write_cifar(tmp_path / kind.base_folder, kind, batches, key=key, classes=classes, count=200)
    data = load(root=str(tmp_path))
    stock = kind(tmp_path, train=False)
    assert len(data.train) == 200 * files
    assert (data.num_classes, data.class_names[1], data.image_size) == (classes, "class 1", 32)
    assert np.array_equal(data.val.image(7).permute(1, 2, 0).numpy(), np.array(stock[7][0]))
    assert data.val.labels.tolist() == stock.targets
    small = load(root=str(tmp_path), max_images=classes, mean="auto")
    assert sorted(small.train.labels.tolist()) == list(range(classes))
    assert small.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.05)
    tuned = load(root=str(tmp_path), tune_fraction=0.5)
    assert len(tuned.train) == len(tuned.val) == 100 * files


def test_stl10_learns_from_unlabeled_images_too(tmp_path, without_checksums):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, count in (("train", 20), ("unlabeled", 30), ("test", 10)):
        draw.integers(0, 256, (count, 3 * 96 * 96), dtype=np.uint8).tofile(folder / f"{name}_X.bin")
        (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("\n".join(f"class {n}" for n in range(10)))
    (folder / "fold_indices.txt").write_text("")
    data = load_stl10(root=str(tmp_path))
    assert data.train.labels.tolist() == [n % 10 for n in range(20)] + [-1] * 30
    assert data.val.labels.tolist() == list(range(10))
    assert data.train.images.shape == (50, 3, 96, 96)
    stock = datasets.STL10(tmp_path, split="test")
    assert np.array_equal(data.val.image(3).permute(1, 2, 0).numpy(), np.array(stock[3][0]))
    assert torch.equal(data.train.stack(), data.train.images)


@pytest.mark.parametrize("load", [load_cifar10, load_cifar100, load_stl10])
def test_a_missing_set_is_one_line_that_says_how_to_get_it(tmp_path, load):
    with pytest.raises(UserError, match=rf"data\.root={tmp_path}.*download=True") as caught:
        load(root=str(tmp_path))
    assert "\n" not in str(caught.value)
