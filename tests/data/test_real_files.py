"""Real photographs, where they lie beside the project."""

import tarfile
from pathlib import Path

import pytest
import torch

from amask_solo.data import load_image_folder

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def unpack(archive, folder, *, wanted):
    """Unpack the members that are wanted, stopping after the first part of a large archive."""
    with tarfile.open(SHARED / archive) as tar:
        for number, member in enumerate(tar):
            if number > 3000:
                break
            if wanted(member.name):
                tar.extract(member, folder, filter="data")


@pytest.mark.skipif(not (SHARED / "cifar10_jpg.tar.gz").is_file(), reason="no photographs here")
def test_cifar_photographs_are_read_as_they_are(tmp_path):
    unpack("cifar10_jpg.tar.gz", tmp_path, wanted=lambda name: name.endswith(("00.jpg", "50.jpg")))
    (root,) = (tmp_path / "cifar10").iterdir()
    data = load_image_folder(train_path=str(root), image_size=32)
    assert len(data.class_names) >= 2
    assert data.train.size == 32
    assert data.mean == pytest.approx((0.49, 0.48, 0.45), abs=0.12)
    assert data.train.stack().float().std() > 40


@pytest.mark.skipif(not (SHARED / "tinyin100.tar.gz").is_file(), reason="no photographs here")
def test_gray_photographs_among_colored_ones_are_read(tmp_path):
    unpack("tinyin100.tar.gz", tmp_path, wanted=lambda name: name.endswith(("3.JPEG", "7.JPEG")))
    (root,) = (tmp_path / "tinyin100").iterdir()
    images = load_image_folder(train_path=str(root), image_size=64).train.stack()
    assert images.shape[1:] == (3, 64, 64)
    gray = torch.tensor([bool((i[0] == i[1]).all() and (i[0] == i[2]).all()) for i in images])
    assert 0 < gray.sum() < len(images) / 4
